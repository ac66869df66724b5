"""Secondary addressing (EN 13757-3, 11): a meter is selected by its own number, and answers at the address 253."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edge.mbus.telegram import Address

_NUMBER = r"(?P<number>[0-9A-F]{8})"
_TEXT = re.compile(
    rf"^{_NUMBER}(?: (?P<maker>[A-Z]{{3}}|\*)(?: (?P<version>[0-9A-F]{{2}}|\*)(?: (?P<medium>[0-9A-F]{{2}}|\*))?)?)?\Z"
)
_HEX = re.compile(r"^[0-9A-F]{16}\Z")
WILDCARD = 0xFF
EXPECTED = "the meter's number, eight digits, F for any; then maker, version and medium: '66660205 LUG 07 04'"


class Selection(NamedTuple):
    """Which meter is meant. A digit F of the number, FF or FFFF elsewhere, stands for any."""

    number: str
    maker: bytes
    version: int
    medium: int

    def __str__(self) -> str:
        return f"{self.number}{self.maker.hex()}{self.version:02x}{self.medium:02x}".upper()

    def mask(self) -> bytes:
        """Return it as a selecting telegram has it."""
        return bytes.fromhex(self.number)[::-1] + self.maker + bytes((self.version, self.medium))

    def meets_with(self, other: Selection) -> bool:
        """Whether one meter could be meant by both: it would answer for two."""
        digits = all(own == its or "F" in (own, its) for own, its in zip(self.number, other.number, strict=True))
        makers = self.maker == other.maker or b"\xff\xff" in (self.maker, other.maker)
        rest = zip((self.version, self.medium), (other.version, other.medium), strict=True)
        return digits and makers and all(own == its or WILDCARD in (own, its) for own, its in rest)

    def is_met_by(self, address: Address) -> bool:
        """Whether a meter is the one meant, or one of them."""
        from edge.mbus.telegram import letters  # noqa: PLC0415 - the decoder is loaded with the first answer

        maker = self.maker == b"\xff\xff" or letters(self.maker) == address.manufacturer
        version = self.version in (WILDCARD, address.version)
        return self.is_number(address.number) and maker and version and self.medium in (WILDCARD, address.medium_code)

    def is_number(self, number: str) -> bool:
        """Whether a number is the one meant, or one of them: all that the fixed data structure tells of a meter."""
        return all(own in ("F", other) for own, other in zip(self.number, number, strict=False))


def parse(text: str) -> Selection | None:
    """Read a secondary address: `66660205`, `66660205 LUG 07 04`, or 16 digits as libmbus prints them."""
    text = text.upper()
    if _HEX.match(text):
        return Selection(text[:8], bytes.fromhex(text[8:12]), int(text[12:14], 16), int(text[14:], 16))
    match = _TEXT.match(text)
    if match is None:
        return None
    maker = match["maker"]
    code = b"\xff\xff" if maker in (None, "*") else _code_of(maker)
    return Selection(match["number"], code, _byte(match["version"]), _byte(match["medium"]))


def _byte(text: str | None) -> int:
    return WILDCARD if text in (None, "*") else int(text, 16)


def _code_of(maker: str) -> bytes:
    """Return a maker's two bytes from its three letters (EN 62056-21)."""
    code = 0
    for letter in maker:
        code = code << 5 | ord(letter) - 64
    return code.to_bytes(2, "little")
