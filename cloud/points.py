"""Points: what a store holds.

A collector makes hundreds of thousands a second and keeps the series of a whole town, so both are structs that the
garbage collector need not look at: nothing in them can refer back to them.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

Value: TypeAlias = float | str | bool
Fields: TypeAlias = dict[str, Value]


class Series(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """A measurement with its tags, sorted by tag; tags without a value are left out."""

    measurement: str
    tags: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, measurement: str, **tags: str) -> Series:
        """Build a series from tags in any order; empty ones are left out."""
        return cls(measurement, tuple(sorted((tag, value) for tag, value in tags.items() if value)))

    def tag(self, name: str) -> str:
        """Value of a tag; empty where the series has none of that name."""
        return dict(self.tags).get(name, "")


class Point(msgspec.Struct, frozen=True, gc=False):
    """Values of one series at one time (Unix time in nanoseconds). Same series and time: same point."""

    series: Series
    time_ns: int
    fields: Fields
