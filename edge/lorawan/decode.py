"""`messnetz device decode lorawan`: what is in a PHYPayload, as far as the keys at hand tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from base.messages import Text
from edge.given_bytes import read_given
from edge.lorawan import keys as keyring
from edge.lorawan import mac, phy
from edge.lorawan.phy import Data, JoinAccept, JoinRequest, MType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.lorawan.keys import DeviceKeys
    from edge.lorawan.phy import Frame

EPOCHS = 256
"""Upper halves of the counter that are tried: 16.7 million frames."""
TX_DATA_RATES, TX_CHANNELS = 16, 16
NOTE = Text(de="Hinweis", en="note")
MIC = Text(de="MIC", en="MIC")
IS_RIGHT = Text(de="richtig", en="right")
IS_WRONG = Text(de="falsch", en="wrong")
NOT_CHECKED = Text(de="nicht geprüft", en="not checked")


@click.command("lorawan")
@click.argument("given", metavar="HEX-or-FILE")
@click.option(
    "--keys",
    "keys_file",
    type=click.Path(path_type=Path),
    help="The devices' keys, as the gateway has them (mode 0600). Without it, what stands in the clear is shown.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def decode(*, given: str, keys_file: Path | None, as_json: bool) -> None:
    """Show what is in a LoRaWAN frame (PHYPayload).

    Version 1.0.x whole; of 1.1 the MIC of uplinks.

    Example: messnetz device decode lorawan 40f17dbe4900020001954378762b11ff0d --keys keys.yaml
    """
    octets = read_given(given)
    keys = keyring.load(keys_file) if keys_file is not None else {}
    said = explain(octets, keys)
    if as_json:
        click.echo(json.dumps(said))
        return
    for name, value in said.items():
        _show(name, value)


def _show(name: str, value: object) -> None:
    if name == "notes" and isinstance(value, list):
        for note in value:
            click.echo(f"{NOTE.say()}: {note}")
    elif name == "mic_ok":
        says = NOT_CHECKED if value is None else IS_RIGHT if value else IS_WRONG
        click.echo(f"{MIC.say():20} {says.say()}")
    elif isinstance(value, list):
        click.echo(f"{name:20} {', '.join(map(str, value)) or '-'}")
    elif value is not None:
        click.echo(f"{name:20} {value}")


def explain(octets: bytes, keys: Mapping[str, DeviceKeys]) -> dict[str, Any]:
    """Say what is in a PHYPayload, as JSON has it; `mic_ok` is None where no key tells.

    Raises: FrameError where it is no LoRaWAN frame.
    """
    frame = phy.parse(octets)
    said: dict[str, Any] = {"kind": frame.mtype.name.lower(), "size": len(octets)}
    return said | _explained(frame, keys)


def _explained(frame: Frame, keys: Mapping[str, DeviceKeys]) -> dict[str, Any]:
    match frame:
        case JoinRequest():
            return _join_request(frame, keys)
        case JoinAccept():
            return _join_accept(frame, keys)
        case Data():
            return _data(frame, keys)
        case _:
            return {"body": frame.body.hex(), "mic_ok": None, "notes": [f"a {frame.mtype.name.lower()} is not read"]}


def _join_request(frame: JoinRequest, keys: Mapping[str, DeviceKeys]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "join_eui": frame.join_eui,
        "dev_eui": frame.dev_eui,
        "dev_nonce": frame.dev_nonce,
        "mic": frame.mic.hex(),
        "mic_ok": None,
        "notes": [],
    }
    of_device = keys.get(frame.dev_eui)
    if of_device is None or of_device.app_key is None:
        said["notes"].append(f"no app_key of {frame.dev_eui} at hand")
        return said
    from edge.lorawan import crypto  # noqa: PLC0415 - the library is loaded with the first key that is used

    return said | {"mic_ok": crypto.is_mic(frame.mic, crypto.join_request_mic(of_device.app_key, frame))}


def _join_accept(frame: JoinAccept, keys: Mapping[str, DeviceKeys]) -> dict[str, Any]:
    from edge.lorawan import crypto  # noqa: PLC0415 - as above

    for eui, of_device in keys.items():
        accept = None if of_device.app_key is None else crypto.open_accept(of_device.app_key, frame.encrypted)
        if accept is not None:
            return {
                "dev_eui": eui,
                "join_nonce": accept.join_nonce,
                "net_id": f"{accept.net_id:06x}",
                "dev_addr": f"{accept.dev_addr:08x}",
                "rx1_data_rate_offset": accept.dl_settings >> 4 & 0x07,
                "rx2_data_rate": accept.dl_settings & 0x0F,
                "rx_delay_s": accept.rx_delay_s,
                "frequencies_hz": list(accept.frequencies_hz),
                "mic": accept.mic.hex(),
                "mic_ok": True,
                "notes": [],
            }
    note = "a join accept is encrypted; no app_key at hand opens it"
    return {"encrypted": frame.encrypted.hex(), "mic_ok": None, "notes": [note]}


def _data(frame: Data, keys: Mapping[str, DeviceKeys]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "dev_addr": f"{frame.dev_addr:08x}",
        "dev_eui": None,
        "f_cnt": frame.f_cnt,
        "f_port": frame.f_port,
        "adr": frame.adr,
        "adr_ack_req": frame.adr_ack_req,
        "ack": frame.ack,
        "f_pending": frame.f_pending and frame.is_down,
        "class_b": frame.f_pending and not frame.is_down,
        "mac_commands": _commands(frame.f_opts, frame),
        "encrypted": frame.payload.hex(),
        "payload": None,
        "mic": frame.mic.hex(),
        "mic_ok": None,
        "notes": [],
    }
    fitting = [(eui, of_device) for eui, of_device in keys.items() if of_device.dev_addr in (None, frame.dev_addr)]
    for eui, of_device in fitting:
        found = _opened(frame, of_device)
        if found.get("mic_ok"):
            return said | found | {"dev_eui": eui}
    named = [(eui, of_device) for eui, of_device in fitting if of_device.dev_addr == frame.dev_addr]
    if len(named) == 1:
        return said | _opened(frame, named[0][1]) | {"dev_eui": named[0][0]}
    said["notes"].append(f"no session keys of {frame.dev_addr:08x} at hand; `f_cnt` is its lower half")
    return said


def _opened(frame: Data, of_device: DeviceKeys) -> dict[str, Any]:
    """Check a frame's MIC with the keys of a device, and decrypt it where it is right or cannot be checked."""
    from edge.lorawan import crypto  # noqa: PLC0415 - as above

    found: dict[str, Any] = {}
    f_cnt, notes = frame.f_cnt, []
    if of_device.nwk_s_key is not None or of_device.f_nwk_s_int_key is not None:
        right = _counter(frame, of_device)
        found["mic_ok"] = right is not None
        if right is None:
            notes.append("the MIC is wrong: of another key, or damaged")
            return found | {"notes": notes}
        f_cnt = found["f_cnt"] = right
    key = (of_device.nwk_s_key or of_device.f_nwk_s_int_key) if frame.f_port == 0 else of_device.app_s_key
    if key is None:
        notes.append("no key of its payload at hand")
        return found | {"notes": notes}
    plain = crypto.crypt(key, frame, f_cnt)
    found["payload"] = plain.hex()
    if "mic_ok" not in found:
        notes.append("decrypted, and not checked: no nwk_s_key at hand")
    if frame.f_port == 0:
        found["mac_commands"] = _commands(plain, frame)
    return found | {"notes": notes}


def _counter(frame: Data, of_device: DeviceKeys) -> int | None:
    """Return the counter whole under which the frame's MIC is right; None where there is none."""
    from edge.lorawan import crypto  # noqa: PLC0415 - as above

    for epoch in range(EPOCHS):
        f_cnt = epoch << 16 | frame.f_cnt
        if of_device.nwk_s_key is not None and crypto.is_mic(
            frame.mic, crypto.data_mic(of_device.nwk_s_key, frame, f_cnt)
        ):
            return f_cnt
        if _is_of_1_1(frame, of_device, f_cnt):
            return f_cnt
    return None


def _is_of_1_1(frame: Data, of_device: DeviceKeys, f_cnt: int) -> bool:
    """Whether a MIC is right by LoRaWAN 1.1; it tells data rate and channel too, so all of them are tried."""
    from edge.lorawan import crypto  # noqa: PLC0415 - as above

    forwarding, serving = of_device.f_nwk_s_int_key, of_device.s_nwk_s_int_key
    if forwarding is None or serving is None or frame.mtype not in (MType.UNCONFIRMED_UP, MType.CONFIRMED_UP):
        return False
    if crypto.data_mic(forwarding, frame, f_cnt)[:2] != frame.mic[2:]:
        return False
    sent_on = (bytes([0, 0, rate, channel]) for rate in range(TX_DATA_RATES) for channel in range(TX_CHANNELS))
    return any(crypto.data_mic_1_1(forwarding, serving, frame, f_cnt, on) == frame.mic for on in sent_on)


def _commands(octets: bytes, frame: Data) -> list[str]:
    commands, rest = mac.parse(octets, is_down=frame.is_down)
    names = [f"{command.name(is_down=frame.is_down)} {command.body.hex()}".rstrip() for command in commands]
    return [*names, f"unknown {rest.hex()}"] if rest else names
