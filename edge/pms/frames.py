"""How these sensors frame what they say: five families, each cut out of a stream of bytes and checked.

A frame's sum of 8 bits finds every single wrong bit, and lets one of 256 longer disturbances pass; what passes is for
plausibility to find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator


class Frame(NamedTuple):
    """A whole frame whose check is right."""

    kind: bytes
    """What tells frames of one family apart: the bytes before the values."""
    values: bytes
    """Without header, check and tail."""


class Damaged(NamedTuple):
    """What began as a frame and was none."""

    why: str
    """Empty where it is nothing strange."""


Cut: TypeAlias = Frame | Damaged | None


class Family(Protocol):
    """One way of framing."""

    start: bytes
    """What every frame begins with."""

    def cut(self, data: bytes) -> tuple[Cut, int]:
        """Cut the frame that `data` begins with: the frame and its length; None and 0 where bytes are missing.

        Of what is damaged the length is how much of it to leave.
        """


class Plantower:
    """`42 4D`, length, values, sum of 16 bits: Plantower's, and Honeywell's where it speaks by itself."""

    start = b"\x42\x4d"
    lengths = (4, 20, 28, 36)
    """Answers to commands; PMS3003; most; PMS5003ST."""

    def cut(self, data: bytes) -> tuple[Cut, int]:
        """Cut a frame; the length counts the sum."""
        if len(data) < 4:
            return None, 0
        length = int.from_bytes(data[2:4], "big")
        if length not in self.lengths:
            return Damaged(f"a frame of {length} bytes"), 2
        end = 4 + length
        if len(data) < end:
            return None, 0
        if sum(data[: end - 2]) & 0xFFFF != int.from_bytes(data[end - 2 : end], "big"):
            return Damaged("a wrong checksum"), 2
        return Frame(data[:4], data[4 : end - 2]), end


class NovaFitness:
    """`AA`, kind, six bytes, sum, `AB`: the SDS sensors."""

    start = b"\xaa"
    kinds = (0xC0, 0xCF, 0xC5)
    """Measured by SDS011, by SDS198; answers to commands."""

    def cut(self, data: bytes) -> tuple[Cut, int]:
        """Cut a frame; another second byte begins none, and is no error: 0xAA may be any value."""
        if len(data) < 10:
            return (None, 0) if len(data) < 2 or data[1] in self.kinds else (Damaged(""), 1)
        if data[1] not in self.kinds:
            return Damaged(""), 1
        if data[9] != 0xAB:
            return Damaged("a frame without its end"), 1
        if sum(data[2:8]) & 0xFF != data[8]:
            return Damaged("a wrong checksum"), 1
        return Frame(data[:2], data[2:8]), 10


class Winsen:
    """`FF`, kind, six bytes, sum: MH-Z19B, ZH03B."""

    start = b"\xff"
    kinds = (0x86, 0xA7, 0x78)
    """Measured; answers to sleep and mode."""

    def cut(self, data: bytes) -> tuple[Cut, int]:
        """Cut a frame."""
        if len(data) < 2:
            return None, 0
        if data[1] not in self.kinds:
            return Damaged(""), 1
        if len(data) < 9:
            return None, 0
        if -sum(data[1:8]) & 0xFF != data[8]:
            return Damaged("a wrong checksum"), 1
        return Frame(data[:2], data[2:8]), 9


class Honeywell:
    """`40`, length, command, values, sum: HPMA115 where it is asked. `A5 A5` and `96 96` are its yes and no."""

    start = b"\x40"
    lengths = (2, 5, 13)
    """Coefficient; two values; values of the compact model."""

    def cut(self, data: bytes) -> tuple[Cut, int]:
        """Cut a frame."""
        if len(data) < 2:
            return None, 0
        if data[1] not in self.lengths:
            return Damaged(""), 1
        end = data[1] + 3
        if len(data) < end:
            return None, 0
        if -sum(data[: end - 1]) & 0xFF != data[end - 1]:
            return Damaged("a wrong checksum"), 1
        return Frame(data[:3], data[3 : end - 1]), end


class Mcu680:
    """`5A 5A`, kind, length, values, sum: a BME680 behind a controller."""

    start = b"\x5a\x5a"

    def cut(self, data: bytes) -> tuple[Cut, int]:
        """Cut a frame; of the kinds that there are only the one with all values."""
        if len(data) < 4:
            return None, 0
        if data[2:4] != b"\x3f\x0f":
            return Damaged("a frame of another kind"), 1
        if len(data) < 20:
            return None, 0
        if sum(data[:19]) & 0xFF != data[19]:
            return Damaged("a wrong checksum"), 1
        return Frame(data[:4], data[4:19]), 20


class Sensirion:
    """SHDLC: `7E`, address, command, state, length, values, sum, `7E`, with bytes stuffed (SPS30)."""

    start = b"\x7e"
    longest = 2 * (255 + 5) + 1
    """Every byte stuffed, after the first flag."""
    stuffed = {0x5E: 0x7E, 0x5D: 0x7D, 0x31: 0x11, 0x33: 0x13}  # noqa: RUF012 - never changed

    def cut(self, data: bytes) -> tuple[Cut, int]:
        """Cut a frame. Its last flag stays: it may be the next one's first."""
        end = data.find(b"\x7e", 1, self.longest + 1)
        if end < 0:
            return (Damaged("a frame without its end"), self.longest) if len(data) > self.longest else (None, 0)
        if end == 1:
            return Damaged(""), 1
        body = self._unstuffed(data[1:end])
        if body is None or len(body) < 5:
            return Damaged("a frame that is none"), end
        if ~sum(body[:-1]) & 0xFF != body[-1]:
            return Damaged("a wrong checksum"), end
        if body[3] != len(body) - 5:
            return Damaged("a frame of another length than it says"), end
        return Frame(body[:4], body[4:-1]), end

    def _unstuffed(self, data: bytes) -> bytes | None:
        plain, position = bytearray(), 0
        while position < len(data):
            byte = data[position]
            if byte == 0x7D:
                position += 1
                after = self.stuffed.get(data[position]) if position < len(data) else None
                if after is None:
                    return None
                byte = after
            plain.append(byte)
            position += 1
        return bytes(plain)


class Framer:
    """Cuts frames out of a stream, however it is chopped; keeps no more than one frame."""

    def __init__(self, *families: Family) -> None:
        self._families = families
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame | Damaged]:
        """Take bytes; returns the frames that are whole now, and what was damaged."""
        self._buffer += data
        while (family := self._next()) is not None:
            cut, length = family.cut(bytes(self._buffer[:1024]))
            if cut is None:
                return
            del self._buffer[:length]
            if isinstance(cut, Frame) or cut.why:
                yield cut

    def reset(self) -> None:
        """Forget half a frame."""
        self._buffer.clear()

    def _next(self) -> Family | None:
        """Find where a frame begins, and drop what is before it."""
        first: tuple[int, Family] | None = None
        for family in self._families:
            at = self._buffer.find(family.start)
            if at >= 0 and (first is None or at < first[0]):
                first = at, family
        if first is None:
            keep = 1 if any(self._buffer.endswith(family.start[:1]) for family in self._families) else 0
            del self._buffer[: len(self._buffer) - keep]
            return None
        del self._buffer[: first[0]]
        return first[1]


FAMILIES: tuple[Family, ...] = (Plantower(), NovaFitness(), Winsen(), Sensirion(), Honeywell(), Mcu680())
