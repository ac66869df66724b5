"""Profiles of meters that speak IEC 62056-21: by themselves (`push`), or when they are asked (`read`)."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

import msgspec

from edge import obis, planning
from edge.obis import Register
from edge.stream import LineSettings
from edge.thinning import ThinnedProfile

PUSH = LineSettings(baud_rate=9600, data_bits=7, parity="E")
READ = LineSettings(baud_rate=300, data_bits=7, parity="E")


class D0Half(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The protocol half."""

    mode: Literal["push", "read"]
    settings: LineSettings | None = None
    """As the line is set at first: 9600 7E1 where it speaks by itself, 300 7E1 where it is asked, unless given."""
    speed: Annotated[int, msgspec.Meta(ge=300, le=19200)] = 9600
    """Baud at which a meter that was asked says its values: for the arithmetic of `check`."""
    telegram_bytes: Annotated[int, msgspec.Meta(ge=20, le=65536)] = 1000
    """How long its answer is: likewise."""
    wake_up: bool = False
    """Whether it runs on a battery, and sleeps until it is woken with zeros (IEC 62056-21, annex B)."""
    registers: dict[str, Register]
    """Reading -> where it stands."""

    @property
    def line(self) -> LineSettings:
        """How the line is set at first."""
        return self.settings or (PUSH if self.mode == "push" else READ)


class D0Profile(ThinnedProfile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of a meter that speaks IEC 62056-21."""

    driver: Literal["d0"]
    d0: D0Half


@cache
def load(name: str) -> D0Profile:
    """Read and check a profile, once for each process.

    Raises: ConfigError at the line that is wrong.
    """
    document, profile = planning.load_profile(name, "d0", D0Profile)
    obis.check(document, profile, profile.d0.registers, "d0")
    return profile
