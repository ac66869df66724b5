"""ChirpStack's uplink events (JSON), and its downlink commands.

Source: https://www.chirpstack.io/docs/chirpstack/integrations/events.html and integration.proto of v4. What is zero may
be left out.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from edge.lorawan.broker import Event, data_of, text_of
from edge.lorawan.instants import first_ms
from edge.lorawan.uplink import Radio, Uplink

_EUI = re.compile(r"^[0-9a-f]{16}\Z")


class _DeviceInfo(msgspec.Struct, frozen=True, rename="camel"):
    application_id: str = ""
    dev_eui: str = ""


class _Lora(msgspec.Struct, frozen=True, rename="camel"):
    bandwidth: int = 0
    spreading_factor: int = 0
    code_rate: str = ""


class _Modulation(msgspec.Struct, frozen=True):
    lora: _Lora | None = None


class _TxInfo(msgspec.Struct, frozen=True):
    frequency: int = 0
    modulation: _Modulation | None = None


class _RxInfo(msgspec.Struct, frozen=True, rename="camel"):
    rssi: float = 0.0
    snr: float = 0.0
    ns_time: str | None = None
    gw_time: str | None = None
    time: str | None = None


class _Up(msgspec.Struct, frozen=True, rename="camel"):
    device_info: _DeviceInfo | None = None
    time: str | None = None
    dev_addr: str = ""
    f_cnt: int = 0
    f_port: int = 0
    confirmed: bool = False
    data: str | None = None
    object: Any = None
    rx_info: list[_RxInfo] | None = None
    tx_info: _TxInfo | None = None


_decoder = msgspec.json.Decoder(_Up, strict=False)


def read(topic: str, payload: bytes) -> Event | None:
    """Return the uplink of a message under `application/ID/device/EUI/event/up`.

    Raises: ValueError, in words, where it cannot be read.
    """
    parts = topic.split("/")
    if len(parts) < 6 or parts[-2:] != ["event", "up"]:
        return None
    try:
        up = _decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"no uplink event ({error})") from error
    info = up.device_info or _DeviceInfo()
    dev_eui = (info.dev_eui or parts[-3]).lower()
    if not _EUI.match(dev_eui):
        raise ValueError(f"{dev_eui[:32]!r}, which is no DevEUI")
    if not (0 <= up.f_cnt < 2**32 and 0 <= up.f_port < 256):
        raise ValueError("a frame counter or port that cannot be")
    receptions = up.rx_info or []
    uplink = Uplink(
        dev_eui,
        up.f_port,
        up.f_cnt,
        data_of(up.data or ""),
        first_ms((each.ns_time for each in receptions), [up.time], (each.gw_time or each.time for each in receptions)),
        _radio(up.tx_info or _TxInfo(), receptions),
        up.confirmed,
        up.dev_addr,
    )
    decoded = up.object if isinstance(up.object, dict) else None
    return Event(uplink, decoded, (info.application_id or parts[-5], dev_eui))


def downlink(address: tuple[str, str], port: int, payload: bytes, *, confirmed: bool) -> tuple[str, bytes]:
    """Return topic and message that queue a downlink."""
    application, dev_eui = address
    message = {"devEui": dev_eui, "confirmed": confirmed, "fPort": port, "data": text_of(payload)}
    return f"application/{application}/device/{dev_eui}/command/down", msgspec.json.encode(message)


def _radio(sent: _TxInfo, receptions: list[_RxInfo]) -> Radio:
    best = max(receptions, key=lambda each: (each.snr, each.rssi), default=None)
    lora = (sent.modulation or _Modulation()).lora
    return Radio(
        rssi_dbm=(best.rssi or None) if best is not None else None,  # 0 dBm is what is left out
        snr_db=best.snr if best is not None and lora is not None else None,
        spreading_factor=(lora.spreading_factor or None) if lora is not None else None,
        bandwidth_hz=(lora.bandwidth or None) if lora is not None else None,
        frequency_hz=sent.frequency or None,
        coding_rate=lora.code_rate.removeprefix("CR_").replace("_", "/") or None if lora is not None else None,
        receptions=len(receptions),
    )
