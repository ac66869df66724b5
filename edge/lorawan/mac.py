"""MAC commands of LoRaWAN 1.0.x: what a device says beside its payload, and what it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

LINK_CHECK = 0x02
LINK_ADR = 0x03
DEVICE_TIME = 0x0D
GPS_EPOCH_S = 315_964_800
"""1980-01-06, as Unix time."""
LEAP_SECONDS = 18
"""GPS time is ahead of UTC by so many, since 2017."""
MOST_MARGIN_DB = 254

UP: Mapping[int, tuple[str, int]] = {
    0x02: ("LinkCheckReq", 0),
    0x03: ("LinkADRAns", 1),
    0x04: ("DutyCycleAns", 0),
    0x05: ("RXParamSetupAns", 1),
    0x06: ("DevStatusAns", 2),
    0x07: ("NewChannelAns", 1),
    0x08: ("RXTimingSetupAns", 0),
    0x09: ("TXParamSetupAns", 0),
    0x0A: ("DlChannelAns", 1),
    0x0D: ("DeviceTimeReq", 0),
    0x10: ("PingSlotInfoReq", 1),
    0x11: ("PingSlotChannelAns", 1),
    0x12: ("BeaconTimingReq", 0),
    0x13: ("BeaconFreqAns", 1),
}
"""CID -> name and octets behind it, from a device."""
DOWN: Mapping[int, tuple[str, int]] = {
    0x02: ("LinkCheckAns", 2),
    0x03: ("LinkADRReq", 4),
    0x04: ("DutyCycleReq", 1),
    0x05: ("RXParamSetupReq", 4),
    0x06: ("DevStatusReq", 0),
    0x07: ("NewChannelReq", 5),
    0x08: ("RXTimingSetupReq", 1),
    0x09: ("TXParamSetupReq", 1),
    0x0A: ("DlChannelReq", 4),
    0x0D: ("DeviceTimeAns", 5),
    0x10: ("PingSlotInfoAns", 0),
    0x11: ("PingSlotChannelReq", 4),
    0x12: ("BeaconTimingAns", 3),
    0x13: ("BeaconFreqReq", 3),
}
"""Likewise, to a device."""


class Command(NamedTuple):
    """One MAC command."""

    cid: int
    body: bytes = b""

    def name(self, *, is_down: bool) -> str:
        """Return its name in the specification."""
        return (DOWN if is_down else UP)[self.cid][0]

    def octets(self) -> bytes:
        """Return it as it travels."""
        return bytes([self.cid]) + self.body


def parse(octets: bytes, *, is_down: bool = False) -> tuple[list[Command], bytes]:
    """Take MAC commands apart; returns them, and the rest from the first one on that is not known or not whole.

    The length of an unknown command is not known, so nothing behind it can be read (specification, 5).
    """
    known = DOWN if is_down else UP
    commands: list[Command] = []
    at = 0
    while at < len(octets) and octets[at] in known:
        end = at + 1 + known[octets[at]][1]
        if end > len(octets):
            break
        commands.append(Command(octets[at], octets[at + 1 : end]))
        at = end
    return commands, octets[at:]


def link_check_answer(margin_db: float, receptions: int) -> Command:
    """Tell a device by how many decibels it was heard above the demodulation floor, and by how many concentrators."""
    margin = min(MOST_MARGIN_DB, max(0, round(margin_db)))
    return Command(LINK_CHECK, bytes([margin, min(255, max(1, receptions))]))


def device_time_answer(unix_s: float) -> Command:
    """Tell a device what time it was when its uplink ended; `unix_s` in seconds."""
    units = round((unix_s - GPS_EPOCH_S + LEAP_SECONDS) * 256)
    seconds, fraction = divmod(units, 256)
    return Command(DEVICE_TIME, (seconds & 0xFFFFFFFF).to_bytes(4, "little") + bytes([fraction]))


def link_adr_request(data_rate: int, channel_mask: int) -> Command:
    """Tell a device its data rate (DR0 to DR15) and channels; at full power, each frame once."""
    return Command(LINK_ADR, bytes([data_rate << 4]) + channel_mask.to_bytes(2, "little") + bytes([0x01]))
