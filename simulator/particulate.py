"""Particulate sensors: what an SDS011 and its kin say, from the makers' protocols, apart from the decoder they test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.field import Line
from simulator.words import Row, WordModel, wave

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HEAD, MEASURED, TAIL = 0xAA, 0xC0, 0xAB
TENTHS = 10
HIGHEST = 9_999


def sds011_frame(pm25_tenths: int, pm10_tenths: int, number: int = 0xA160) -> bytes:
    """What an SDS011 with this number of its own says once a second."""
    values = b"".join(each.to_bytes(2, "little") for each in (pm25_tenths, pm10_tenths)) + number.to_bytes(2, "big")
    return bytes([HEAD, MEASURED]) + values + bytes([sum(values) % 256, TAIL])


def pms5003_frame(masses: tuple[int, int, int], counts: tuple[int, int, int, int, int, int]) -> bytes:
    """What a PMS5003 says: PM1, PM2.5, PM10 in µg/m³, and particles above 0.3, 0.5, 1, 2.5, 5 and 10 µm in 0.1 l."""
    words = (*masses, *masses, *counts, 0x9700)
    frame = b"BM\x00\x1c" + b"".join(word.to_bytes(2, "big") for word in words)
    return frame + (sum(frame) % 65_536).to_bytes(2, "big")


def mhz19b_frame(co2_ppm: int) -> bytes:
    """What an MH-Z19B answers to the question for its concentration."""
    frame = b"\xff\x86" + co2_ppm.to_bytes(2, "big") + b"\x42\x00\x00\x00"
    return frame + bytes([(0x100 - sum(frame[1:]) % 256) % 256])


def _write(_device: str, numbers: Mapping[str, int | None]) -> bytes:
    """A sensor that has no value says zeros."""
    return sds011_frame(numbers["pm25"] or 0, numbers["pm10"] or 0)


SDS011 = WordModel(
    "nova-fitness/sds011",
    {"pm25": Row(wave(9, 5), TENTHS, HIGHEST), "pm10": Row(wave(17, 8), TENTHS, HIGHEST)},
    _write,
)


class _Sensor(Line):
    """A sensor with a supply of its own: it is warm when the agent starts."""

    def section(self, name: str, address: str | None, lines: Path) -> dict[str, Any]:
        """Name the port, and that nothing need be waited for."""
        return {**super().section(name, address, lines), "warm_up_s": 0}


PARTICULATE = _Sensor("pms")
