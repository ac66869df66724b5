"""A whole answer of a meter: who it is, how it is, and its records (EN 13757-2 and -3)."""

from __future__ import annotations

from typing import NamedTuple

from edge.mbus import fixed, frame, records
from edge.mbus.errors import DamagedError, EncryptedError, RefusedError, UnsupportedError

LONG_HEADER, SHORT_HEADER, NO_HEADER, FIXED, REPORTED_ERROR, REPORTED_ALARM = 0x72, 0x7A, 0x78, 0x73, 0x70, 0x71
HIGH_BYTE_FIRST = (0x76, 0x77)
"""Mode 2 of the norm's first edition, which its later ones took back."""
LONG_HEADER_BYTES, SHORT_HEADER_BYTES = 12, 4

MEDIA = {
    0x00: "other",
    0x01: "oil",
    0x02: "electricity",
    0x03: "gas",
    0x04: "heat (outlet)",
    0x05: "steam",
    0x06: "warm water",
    0x07: "water",
    0x08: "heat cost allocator",
    0x09: "compressed air",
    0x0A: "cooling (outlet)",
    0x0B: "cooling (inlet)",
    0x0C: "heat (inlet)",
    0x0D: "heat and cooling",
    0x0E: "bus or system",
    0x0F: "unknown",
    0x14: "calorific value",
    0x15: "hot water",
    0x16: "cold water",
    0x17: "hot and cold water",
    0x18: "pressure",
    0x19: "A/D converter",
    0x1A: "smoke detector",
    0x1B: "room sensor",
    0x1C: "gas detector",
    0x20: "breaker",
    0x21: "valve",
    0x25: "display",
    0x28: "waste water",
    0x29: "refuse",
    0x31: "communication controller",
    0x36: "radio converter",
    0x37: "radio converter",
}

_ERRORS = {
    0: "unspecified error",
    1: "unknown application field",
    2: "buffer too long, the rest is cut off",
    3: "too many records",
    4: "premature end of record",
    5: "more than 10 DIFE",
    6: "more than 10 VIFE",
    8: "the application is busy",
    9: "too many readouts",
}
"""What a device reports instead of an answer (EN 13757-3, 7.2)."""
_ENCRYPTIONS = {5: "AES-128, mode 5", 7: "AES-128, mode 7", 8: "AES-128 CTR, mode 8", 13: "TLS, mode 13"}


class Address(NamedTuple):
    """A meter's own number, the same for ever: what secondary addressing and radio know it by."""

    number: str
    """Eight digits, as printed on the meter; hexadecimal ones with a few makers."""
    manufacturer: str
    """Three letters (EN 62056-21)."""
    version: int
    medium_code: int

    @property
    def medium(self) -> str:
        """What it measures, in words."""
        return MEDIA.get(self.medium_code, f"medium {self.medium_code:02X}h")


class Status(NamedTuple):
    """What a meter says of itself with every telegram."""

    byte: int

    def words(self) -> tuple[str, ...]:
        """Return what is wrong, in words; nothing where all is well."""
        application = ("", "busy", "application error", "alarm")[self.byte & 0b11]
        named = ((0x04, "battery low"), (0x08, "permanent error"), (0x10, "temporary error"))
        return tuple(word for word in (application, *(word for bit, word in named if self.byte & bit)) if word)


class Telegram(NamedTuple):
    """What one telegram says."""

    address: Address | None
    """None where the telegram does not say."""
    access_number: int
    status: Status
    configuration: int
    """Two bytes: how the payload is encrypted; with meters before 2005 a checksum of the maker's own."""
    content: records.Records
    primary: int | None = None
    """The primary address that it came from; None by radio."""


def decode(data: bytes) -> Telegram:
    """Decode one whole wired telegram.

    Raises: DamagedError, UnsupportedError, RefusedError, EncryptedError: nothing of the telegram can be used.
    """
    found = frame.parse_long(data)
    if found.control & frame.FROM_DEVICE:
        raise UnsupportedError(f"a command of a master (control field {found.control:02X}h), and no answer of a meter")
    if found.control & 0x0F != frame.RESPONSE:
        raise UnsupportedError(f"the control field {found.control:02X}h, where an answer has 08h")
    return decode_payload(found.information, found.content)._replace(primary=found.address)


def decode_payload(information: int, content: bytes) -> Telegram:
    """Decode what stands behind the control information field (CI) of an answer.

    Raises: as `decode`.
    """
    if information == FIXED:
        return _fixed(content)
    if information in (REPORTED_ERROR, REPORTED_ALARM):
        raise _reported(information, content)
    if information == LONG_HEADER:
        address = read_address(_part(content, LONG_HEADER_BYTES, "head")[:8])
        return _variable(address, content[8:12], content[12:])
    if information == SHORT_HEADER:
        return _variable(None, _part(content, SHORT_HEADER_BYTES, "head"), content[4:])
    if information == NO_HEADER:
        return _variable(None, bytes(4), content)
    if information in HIGH_BYTE_FIRST:
        raise UnsupportedError("a telegram with the high byte first (mode 2), which later editions of the norm forbid")
    raise UnsupportedError(f"the control information field {information:02X}h, which is none of a meter's answer")


def read_address(data: bytes) -> Address:
    """Read number, maker, version and medium, as the long header has them (8 bytes)."""
    return Address(data[3::-1].hex().upper(), letters(data[4:6]), data[6], data[7])


def letters(data: bytes) -> str:
    """Return the three letters of a maker from their two bytes (EN 62056-21: five bits each)."""
    code = int.from_bytes(data, "little")
    return "".join(chr(64 + (code >> shift & 0x1F)) for shift in (10, 5, 0))


def encryption_of(configuration: int) -> str:
    """Return how a payload is encrypted, by its configuration field; empty where it is not.

    Meters from before encryption have other things in this field: it counts only where it names a mode of the norm
    and a number of encrypted blocks.
    """
    mode = configuration >> 8 & 0x1F
    blocks = configuration >> 4 & 0x0F
    return _ENCRYPTIONS.get(mode, "") if blocks else ""


def _variable(address: Address | None, head: bytes, payload: bytes) -> Telegram:
    configuration = int.from_bytes(head[2:4], "little")
    how = encryption_of(configuration)
    if how and not payload.startswith(b"\x2f\x2f"):
        raise EncryptedError(f"the payload is encrypted ({how})")
    return Telegram(address, head[0], Status(head[1]), configuration, records.parse(payload))


def _fixed(content: bytes) -> Telegram:
    data = _part(content, fixed.BYTES, "fixed data structure")
    if len(content) != fixed.BYTES:
        raise DamagedError(f"{len(content)} bytes, where a fixed data structure has {fixed.BYTES}")
    medium = fixed.medium_of(data)
    if medium > fixed.LAST_LOW_BYTE_FIRST:
        raise UnsupportedError("a fixed data structure with the high byte first (mode 2), or of no known medium")
    address = Address(data[3::-1].hex().upper(), "", 0, medium)
    # its status has the same bits as the other structure's, but for the two lowest, which say how it counts
    return Telegram(address, data[4], Status(data[5] & 0x1C), 0, records.Records(fixed.parse(data)))


def _reported(information: int, content: bytes) -> RefusedError:
    code = content[0] if content else 0
    if information == REPORTED_ALARM:
        return RefusedError(f"the device reports an alarm ({code:02X}h) instead of an answer")
    return RefusedError(f"the device reports: {_ERRORS.get(code, f'error {code}')}")


def _part(content: bytes, size: int, what: str) -> bytes:
    if len(content) < size:
        raise DamagedError(f"{len(content)} bytes, where the {what} alone has {size}")
    return content[:size]
