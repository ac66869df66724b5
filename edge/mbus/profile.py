"""Profiles of wired M-Bus meters."""

from __future__ import annotations

from functools import cache
from typing import Annotated

import msgspec

from edge import planning
from edge.mbus import mapping
from edge.mbus.mapping import Selector
from edge.stream import BaudRate
from wire import profile as public


class MbusHalf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a model is asked over two wires, and where its values are."""

    records: dict[str, Selector | list[Selector]]
    """Reading -> its record; of a list the first one that the telegram has."""
    baud_rate: BaudRate = 2400
    """As the model leaves the factory; parity and stop bit are the norm's."""
    telegram_bytes: Annotated[int, msgspec.Meta(ge=9, le=261)] = 150
    """How long one of its answers is: for the arithmetic of the bus's time."""
    telegrams: Annotated[int, msgspec.Meta(ge=1, le=32)] = 1
    """How many answers it takes until all readings are there; it is asked for no more."""
    reset: bool = True
    """Whether it is reset (SND_NKE) before each reading, so that it begins with its first telegram. A few meters do
    not answer that."""


class MbusProfile(public.Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of a wired meter."""

    mbus: MbusHalf


@cache
def load(name: str) -> MbusProfile:
    """Read and check a profile, once for each process.

    Raises: ConfigError at the line that is wrong.
    """
    document, profile = planning.load_profile(name, "mbus", MbusProfile)
    mapping.check(document, ("mbus", "records"), profile, profile.mbus.records)
    return profile
