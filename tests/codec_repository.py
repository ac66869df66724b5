"""A small codec repository, written by hand in the layout of TheThingsNetwork/lorawan-devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "index.yaml": "vendors: [{id: acme, name: Acme, vendorID: 1}]\n",
    "acme/index.yaml": "endDevices: [probe, bare]\n",
    "acme/probe.yaml": """
name: Acme Soil Probe
description: Moisture, off and on
firmwareVersions:
  - version: '1.0'
    numeric: 1
    hardwareVersions: ['1.0']
    profiles:
      EU863-870: {id: probe-profile, lorawanCertified: false, codec: old-codec}
  - version: '2.0'
    numeric: 2
    profiles:
      US902-928: {id: probe-profile, codec: other-codec}
      EU863-870: {id: probe-profile, codec: probe-codec}
sensors: [soil moisture]
""",
    "acme/bare.yaml": "name: Acme Bare\nfirmwareVersions: [{version: '1', profiles: {EU863-870: {id: x}}}]\n",
    "acme/probe-codec.yaml": """
uplinkDecoder:
  fileName: probe.js
  examples:
    - description: Wet
      input: {fPort: 5, bytes: [0x01, 200], recvTime: '2023-11-14T22:13:20.000Z'}
      output: {data: {moisture: 20, valve: on, country: no, at: '2023-11-14T22:13:20.000Z'}}
    - description: Another port
      input: {fPort: 9, bytes: [1, 2]}
      output: {errors: [unknown port]}
    - description: A wrong promise
      input: {fPort: 5, bytes: [1, 100], recvTime: '2023-11-14T22:13:20.000Z'}
      output: {data: {moisture: 11, valve: on, country: no, at: '2023-11-14T22:13:20.000Z'}}
downlinkEncoder:
  fileName: probe.js
  examples:
    - description: An hour
      input: {data: {interval: 3600}}
      output: {bytes: [14, 16], fPort: 2}
downlinkDecoder:
  fileName: probe.js
  examples:
    - description: An hour
      input: {fPort: 2, bytes: [14, 16]}
      output: {data: {interval: 3600}}
""",
    "acme/probe.js": """
function decodeUplink(input) {
  if (input.fPort !== 5) return {errors: ['unknown port']};
  return {data: {moisture: input.bytes[1] / 10, valve: 'on', country: 'no', at: input.recvTime}};
}
function encodeDownlink(input) { return {bytes: [input.data.interval >> 8, input.data.interval & 255], fPort: 2}; }
function decodeDownlink(input) { return {data: {interval: input.bytes[0] * 256 + input.bytes[1]}}; }
""",
    "acme/looping-codec.yaml": """
uplinkDecoder:
  fileName: looping.js
  examples: [{description: For ever, input: {fPort: 1, bytes: []}, output: {data: {}}}]
""",
    "acme/looping.js": "function decodeUplink() { for (;;) {} }",
    "acme/gone-codec.yaml": "uplinkDecoder: {fileName: gone.js}\n",
    "acme/away-codec.yaml": "uplinkDecoder: {fileName: ../../../outside.js}\n",
    "acme/broken-codec.yaml": "uplinkDecoder: [\n",
}


def build(directory: Path) -> Path:
    """Write the repository."""
    for name, text in FILES.items():
        file = directory / "vendor" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return directory
