"""Profiles of P1: the meter whose port it is, and the meters of gas, water or heat that it speaks for."""

from __future__ import annotations

from functools import cache
from typing import Literal

import msgspec

from edge import obis, planning
from edge.obis import Register
from edge.stream import LineSettings
from edge.thinning import ThinnedProfile

MEDIA = {3: "gas", 4: "heat", 5: "cooling", 6: "warm water", 7: "water", 10: "cooling", 11: "cooling", 12: "heat"}
"""What 0-n:24.1.0 says the n-th meter is (EN 13757-3, device types)."""


class P1Half(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The protocol half."""

    settings: LineSettings = LineSettings(baud_rate=115200)
    """115200 8N1 since DSMR 4; 9600 7E1 before."""
    checksum: bool = True
    """Whether telegrams end with a checksum: since DSMR 4."""
    types: list[Literal[3, 4, 5, 6, 7, 10, 11, 12]] = []
    """Of a meter that another one speaks for: the device types that it may be."""
    registers: dict[str, Register]
    """Reading -> where it stands; of a meter that another one speaks for without `0-n:`."""


class P1Profile(ThinnedProfile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of a meter on P1."""

    driver: Literal["p1"]
    p1: P1Half


@cache
def load(name: str) -> P1Profile:
    """Read and check a profile, once for each process.

    Raises: ConfigError at the line that is wrong.
    """
    document, profile = planning.load_profile(name, "p1", P1Profile)
    obis.check(document, profile, profile.p1.registers, "p1")
    return profile
