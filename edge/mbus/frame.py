"""The frames of EN 13757-2 (data link layer): an acknowledgement, short frames, and long ones with a payload."""

from __future__ import annotations

from typing import NamedTuple

from edge.mbus.errors import DamagedError

ACKNOWLEDGED = 0xE5
START_SHORT, START_LONG, STOP = 0x10, 0x68, 0x16
SHORT_SIZE = 5
FRAME_BYTES = 6
"""Of a long frame, around what its length field counts: start, length twice, start again, checksum, stop."""
LEAST_LENGTH = 3
"""Control field, address, and a control information field (CI)."""
FROM_DEVICE = 0x40
"""This bit of the control field is set in what a master sends."""
RESPONSE = 0x08
"""Control field of a device's user data (RSP_UD); bits 0x20 and 0x10 report access demand and data flow."""


class LongFrame(NamedTuple):
    """A long frame: control field, primary address, control information field, and what follows that."""

    control: int
    address: int
    information: int
    content: bytes


def checksum(data: bytes) -> int:
    """Return the sum of all bytes, modulo 256."""
    return sum(data) % 256


def short_frame(control: int, address: int) -> bytes:
    """Build a frame without payload."""
    return bytes((START_SHORT, control, address, (control + address) % 256, STOP))


def long_frame(control: int, address: int, information: int, content: bytes = b"") -> bytes:
    """Build a frame with a payload of up to 252 bytes."""
    data = bytes((control, address, information)) + content
    return bytes((START_LONG, len(data), len(data), START_LONG)) + data + bytes((checksum(data), STOP))


def size_of(start: bytes) -> int | None:
    """Return how many bytes a frame has that begins like this; None where more of it must be seen.

    Raises: DamagedError where no frame begins like this.
    """
    if not start:
        return None
    if start[0] == ACKNOWLEDGED:
        return 1
    if start[0] == START_SHORT:
        return SHORT_SIZE
    if start[0] != START_LONG:
        raise DamagedError(f"byte {start[0]:02X}h, where a telegram begins with 68h")
    if len(start) < 4:
        return None
    if start[1] != start[2] or start[3] != START_LONG:
        raise DamagedError(f"the head {start[:4].hex(' ')}, where a telegram has its length twice between two 68h")
    if start[1] < LEAST_LENGTH:
        raise DamagedError(f"the length {start[1]}, where a telegram has {LEAST_LENGTH} at least")
    return start[1] + FRAME_BYTES


def parse_long(data: bytes) -> LongFrame:
    """Read one whole long frame.

    Raises: DamagedError where it is none, has another length than it says, or its checksum is wrong.
    """
    size = size_of(data)
    if size is None or data[0] != START_LONG:
        raise DamagedError(f"{len(data)} bytes that are no telegram with a payload")
    if len(data) != size:
        raise DamagedError(f"{len(data)} bytes, where the telegram's own length says {size}")
    inner = data[4:-2]
    if data[-1] != STOP:
        raise DamagedError(f"byte {data[-1]:02X}h at the end, where a telegram ends with 16h")
    if checksum(inner) != data[-2]:
        raise DamagedError(f"the checksum {data[-2]:02X}h, where its bytes sum up to {checksum(inner):02X}h")
    return LongFrame(inner[0], inner[1], inner[2], bytes(inner[3:]))


def found_in(data: bytes) -> list[bytes]:
    """Return the long frames in some bytes, such as a recorded line: glued together, or with others between them.

    Where none is in them, the bytes themselves: whoever parses them says why.
    """
    found: list[bytes] = []
    at = 0
    while (at := data.find(START_LONG, at)) >= 0:
        size = data[at + 1] + FRAME_BYTES if at + 1 < len(data) else 0
        try:
            parse_long(data[at : at + size])
        except DamagedError:
            at += 1
            continue
        found.append(data[at : at + size])
        at += size
    return found or [data]
