"""The protocol of Semtech's packet forwarder (GWMP), versions 1 and 2: datagrams taken apart and put together.

Source: Lora-net/packet_forwarder, PROTOCOL.TXT. It knows neither passwords nor encryption: whoever reaches the port can
pretend to be a concentrator. What a device says is protected by its own keys, and nothing else is.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from base.errors import PermanentError
from edge.lorawan import eu868

if TYPE_CHECKING:
    from edge.lorawan.eu868 import DataRate

VERSIONS = (1, 2)
VERSION = 2
HEADER_BYTES = 4
EUI_BYTES = 8
MAX_FRAMES = 64
"""In one datagram; a concentrator of eight channels hands over some sixteen at once."""
CRC_OK, CRC_BAD = 1, -1
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


class Kind(IntEnum):
    """What a datagram is."""

    PUSH_DATA = 0
    PUSH_ACK = 1
    PULL_DATA = 2
    PULL_RESP = 3
    PULL_ACK = 4
    TX_ACK = 5


class DatagramError(PermanentError):
    """Octets that are no datagram of the protocol, or a frame in it that cannot be read."""


class Datagram(NamedTuple):
    """A datagram of a concentrator."""

    kind: Kind
    version: int
    token: bytes
    """Two octets: the answer carries the same."""
    gateway: str = ""
    """EUI of the concentrator, 16 hexadecimal digits."""
    body: bytes = b""
    """JSON."""


class Reception(NamedTuple):
    """A frame as one concentrator heard it."""

    gateway: str
    phy: bytes
    tmst: int
    """When it ended, on the concentrator's own clock: microseconds, 32 bits."""
    frequency_hz: int
    rate: DataRate
    coding_rate: str | None = None
    rssi_dbm: float | None = None
    snr_db: float | None = None
    gps_s: float | None = None
    """When it ended, in seconds since the GPS epoch, where the concentrator knows."""
    at_s: float = 0.0
    """When it came to us, on the monotonic clock."""
    rf_chain: int = 0


class Pushed(NamedTuple):
    """What a PUSH_DATA holds."""

    receptions: tuple[Reception, ...]
    damaged: int
    """Frames whose CRC was wrong, or that had none."""
    unreadable: int
    """Entries that are no frame of a kind that we know."""


class _Rxpk(msgspec.Struct):
    """One entry of `rxpk`; what is not needed is skipped."""

    tmst: float
    freq: float
    datr: str | float
    data: str
    stat: int = CRC_OK
    modu: str = "LORA"
    codr: str | None = None
    rssi: float | None = None
    lsnr: float | None = None
    tmms: float | None = None
    rfch: float = 0
    rsig: list[dict[str, Any]] | None = None
    """Version 2 of the gateways: a reception for each antenna."""


class _Body(msgspec.Struct):
    rxpk: list[msgspec.Raw] = []


class _Ack(msgspec.Struct):
    error: str = "NONE"


class _AckBody(msgspec.Struct):
    txpk_ack: _Ack = msgspec.field(default_factory=_Ack)


_bodies = msgspec.json.Decoder(_Body)
_rxpks = msgspec.json.Decoder(_Rxpk)
_acks = msgspec.json.Decoder(_AckBody)


def parse(octets: bytes) -> Datagram:
    """Take a datagram apart.

    Raises: DatagramError where it is none that a concentrator sends.
    """
    if len(octets) < HEADER_BYTES + EUI_BYTES or octets[0] not in VERSIONS:
        raise DatagramError("no datagram of a packet forwarder")
    kind, end = octets[3], HEADER_BYTES + EUI_BYTES
    if kind not in (Kind.PUSH_DATA, Kind.PULL_DATA, Kind.TX_ACK):
        raise DatagramError(f"a datagram of kind {kind}")
    return Datagram(Kind(kind), octets[0], octets[1:3], octets[HEADER_BYTES:end].hex(), octets[end:])


def acknowledge(datagram: Datagram) -> bytes:
    """Return the answer to a PUSH_DATA or PULL_DATA."""
    kind = Kind.PUSH_ACK if datagram.kind is Kind.PUSH_DATA else Kind.PULL_ACK
    return bytes([datagram.version]) + datagram.token + bytes([kind])


def pushed(datagram: Datagram, at_s: float) -> Pushed:
    """Read the frames of a PUSH_DATA.

    Raises: DatagramError where it is no JSON as the protocol has it.
    """
    try:
        entries = _bodies.decode(datagram.body).rxpk
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DatagramError(f"no JSON of a packet forwarder ({error})") from error
    receptions: list[Reception] = []
    damaged, unreadable = 0, max(0, len(entries) - MAX_FRAMES)
    for entry in entries[:MAX_FRAMES]:
        try:
            rxpk = _rxpks.decode(entry)
            if rxpk.stat != CRC_OK:
                damaged += 1
                continue
            receptions.append(_reception(datagram.gateway, rxpk, at_s))
        except (msgspec.MsgspecError, DatagramError, RecursionError, UnicodeDecodeError):
            unreadable += 1
    return Pushed(tuple(receptions), damaged, unreadable)


def _reception(gateway: str, rxpk: _Rxpk, at_s: float) -> Reception:
    rate = eu868.data_rate(rxpk.datr)
    numbers = (rxpk.tmst, rxpk.freq, rxpk.rssi or 0.0, rxpk.lsnr or 0.0, rxpk.tmms or 0.0, rxpk.rfch)
    if rate is None or (rate.spreading_factor is None) != (rxpk.modu == "FSK"):
        raise DatagramError("a modulation that the region does not have")
    if not all(math.isfinite(number) and abs(number) < 2**53 for number in numbers):
        raise DatagramError("a number that cannot be")
    best = _best_antenna(rxpk)
    return Reception(
        gateway,
        phy=decode_base64(rxpk.data),
        tmst=int(rxpk.tmst) & 0xFFFFFFFF,
        frequency_hz=round(rxpk.freq * 1_000_000),
        rate=rate,
        coding_rate=rxpk.codr,
        rssi_dbm=best[0],
        snr_db=best[1],
        gps_s=rxpk.tmms / 1000 if rxpk.tmms is not None else None,
        at_s=at_s,
        rf_chain=int(rxpk.rfch) & 0x01,
    )


def _best_antenna(rxpk: _Rxpk) -> tuple[float | None, float | None]:
    if rxpk.rssi is not None or not rxpk.rsig:
        return rxpk.rssi, rxpk.lsnr
    heard = [(_number(each.get("rssic")), _number(each.get("lsnr"))) for each in rxpk.rsig]
    return max(heard, key=lambda pair: -math.inf if pair[0] is None else pair[0])


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53
    return float(value) if is_number and isinstance(value, int | float) else None


def decode_base64(text: str) -> bytes:
    """Decode base64 as forwarders write it: padded or not, in the usual or in the URL alphabet.

    Raises: DatagramError where it is none.
    """
    usual = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    if _NOT_BASE64.search(usual):
        raise DatagramError("no base64")
    try:
        return base64.b64decode(usual + "=" * (-len(usual) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DatagramError("no base64") from error


class Transmission(NamedTuple):
    """A frame for a concentrator to send at one time."""

    phy: bytes
    tmst: int
    """When, on the concentrator's clock: microseconds, 32 bits."""
    frequency_hz: int
    rate: DataRate
    power_dbm: int
    """At the concentrator's connector."""
    rf_chain: int = 0

    def body(self) -> dict[str, Any]:
        """Return it as `txpk` has it."""
        common: dict[str, Any] = {
            "imme": False,
            "tmst": self.tmst & 0xFFFFFFFF,
            "freq": self.frequency_hz / 1_000_000,
            "rfch": self.rf_chain,
            "powe": self.power_dbm,
            "size": len(self.phy),
            "data": base64.b64encode(self.phy).decode(),
        }
        if self.rate.spreading_factor is None:
            bits_per_s, deviation_hz = eu868.FSK_BITS_PER_S, eu868.FSK_DEVIATION_HZ
            return common | {"modu": "FSK", "datr": bits_per_s, "fdev": deviation_hz, "prea": 5, "ncrc": False}
        # Class A: polarity inverted, so that devices do not hear each other; no CRC, the MIC is one.
        lora = {"modu": "LORA", "datr": self.rate.name, "codr": "4/5", "ipol": True, "prea": 8, "ncrc": True}
        return common | lora


def pull_resp(transmission: Transmission, token: bytes) -> bytes:
    """Return the datagram that has a concentrator send a frame."""
    body = msgspec.json.encode({"txpk": transmission.body()})
    return bytes([VERSION]) + token + bytes([Kind.PULL_RESP]) + body


def tx_error(datagram: Datagram) -> str | None:
    """Return why a concentrator will not send (TX_ACK), such as `TOO_LATE`; None where it will.

    Raises: DatagramError where it is no JSON as the protocol has it.
    """
    body = datagram.body.strip(b"\0 \r\n\t")
    if not body:
        return None
    try:
        error = _acks.decode(body).txpk_ack.error
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as cause:
        raise DatagramError(f"no JSON of a packet forwarder ({cause})") from cause
    return None if error in ("NONE", "") else error[:40]
