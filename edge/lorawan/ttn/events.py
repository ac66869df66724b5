"""Uplink messages of The Things Stack (JSON), and its downlink queue.

Source: https://www.thethingsindustries.com/docs/integrations/data-formats/ and .../other-integrations/mqtt/. What is
empty, zero or false is left out.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from edge.lorawan.broker import Event, data_of, text_of
from edge.lorawan.instants import first_ms
from edge.lorawan.uplink import Radio, Uplink

_EUI = re.compile(r"^[0-9a-f]{16}\Z")
_SECONDS = re.compile(r"^([0-9]{1,5}(?:\.[0-9]{1,9})?)s\Z")


class _Ids(msgspec.Struct, frozen=True):
    dev_eui: str = ""
    dev_addr: str = ""


class _Lora(msgspec.Struct, frozen=True):
    bandwidth: int = 0
    spreading_factor: int = 0
    coding_rate: str = ""


class _DataRate(msgspec.Struct, frozen=True):
    lora: _Lora | None = None


class _Settings(msgspec.Struct, frozen=True):
    data_rate: _DataRate | None = None
    frequency: int = 0
    """A text on the wire."""
    coding_rate: str = ""
    """Until v3.18 it stood here."""


class _RxMetadata(msgspec.Struct, frozen=True):
    rssi: float = 0.0
    channel_rssi: float = 0.0
    snr: float = 0.0
    time: str | None = None
    received_at: str | None = None


class _UplinkMessage(msgspec.Struct, frozen=True):
    f_port: int = 0
    f_cnt: int = 0
    frm_payload: str | None = None
    decoded_payload: Any = None
    rx_metadata: list[_RxMetadata] | None = None
    settings: _Settings | None = None
    received_at: str | None = None
    confirmed: bool = False
    consumed_airtime: str | None = None


class _Message(msgspec.Struct, frozen=True):
    end_device_ids: _Ids | None = None
    received_at: str | None = None
    uplink_message: _UplinkMessage | None = None
    simulated: bool = False


_decoder = msgspec.json.Decoder(_Message, strict=False)


def read(topic: str, payload: bytes) -> Event | None:
    """Return the uplink of a message under `v3/APPLICATION@TENANT/devices/DEVICE/up`; None where it is simulated.

    Raises: ValueError, in words, where it cannot be read.
    """
    parts = topic.split("/")
    if len(parts) != 5 or parts[-1] != "up":
        return None
    try:
        message = _decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"no uplink message ({error})") from error
    up, ids = message.uplink_message, message.end_device_ids or _Ids()
    if up is None or message.simulated:
        return None
    dev_eui = ids.dev_eui.lower()
    if not _EUI.match(dev_eui):
        raise ValueError(f"{dev_eui[:32]!r}, which is no DevEUI")
    if not (0 <= up.f_cnt < 2**32 and 0 <= up.f_port < 256):
        raise ValueError("a frame counter or port that cannot be")
    receptions = up.rx_metadata or []
    uplink = Uplink(
        dev_eui,
        up.f_port,
        up.f_cnt,
        data_of(up.frm_payload or ""),
        first_ms([up.received_at], (each.received_at or each.time for each in receptions), [message.received_at]),
        _radio(up.settings or _Settings(), receptions),
        up.confirmed,
        ids.dev_addr,
        _seconds(up.consumed_airtime),
    )
    decoded = up.decoded_payload if isinstance(up.decoded_payload, dict) else None
    return Event(uplink, decoded, (parts[1], parts[3]))


def downlink(address: tuple[str, str], port: int, payload: bytes, *, confirmed: bool) -> tuple[str, bytes]:
    """Return topic and message that put a downlink at the end of the device's queue."""
    application, device = address
    queued = {"f_port": port, "frm_payload": text_of(payload), "priority": "NORMAL", "confirmed": confirmed}
    return f"v3/{application}/devices/{device}/down/push", msgspec.json.encode({"downlinks": [queued]})


def _seconds(text: str | None) -> float | None:
    match = _SECONDS.match(text or "")
    return float(match[1]) if match is not None else None


def _radio(settings: _Settings, receptions: list[_RxMetadata]) -> Radio:
    best = max(receptions, key=lambda each: (each.snr, each.rssi), default=None)
    lora = (settings.data_rate or _DataRate()).lora
    return Radio(
        rssi_dbm=(best.rssi or best.channel_rssi or None) if best is not None else None,
        snr_db=best.snr if best is not None and lora is not None else None,
        spreading_factor=(lora.spreading_factor or None) if lora is not None else None,
        bandwidth_hz=(lora.bandwidth or None) if lora is not None else None,
        frequency_hz=settings.frequency or None,
        coding_rate=((lora.coding_rate if lora is not None else "") or settings.coding_rate) or None,
        receptions=len(receptions),
    )
