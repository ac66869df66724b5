"""Profiles of meters that speak SML: which code is which reading."""

from __future__ import annotations

from functools import cache
from typing import Literal

import msgspec

from edge import obis, planning
from edge.obis import Register
from edge.stream import LineSettings
from edge.thinning import ThinnedProfile


class SmlHalf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The protocol half."""

    settings: LineSettings = LineSettings()
    """How the head's line is set: 9600 8N1 with all that we know."""
    registers: dict[str, Register]
    """Reading -> where it stands."""


class SmlProfile(ThinnedProfile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of a meter that speaks SML."""

    driver: Literal["sml"]
    sml: SmlHalf


@cache
def load(name: str) -> SmlProfile:
    """Read and check a profile, once for each process.

    Raises: ConfigError at the line that is wrong.
    """
    document, profile = planning.load_profile(name, "sml", SmlProfile)
    obis.check(document, profile, profile.sml.registers, "sml")
    return profile
