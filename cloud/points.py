"""Points: what a store holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

Value: TypeAlias = float | str | bool
Fields: TypeAlias = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Series:
    """A measurement with its tags, sorted by tag; tags without a value are left out."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the hash once: a series is looked up with every one of its points."""
        object.__setattr__(self, "_hash", hash((self.measurement, self.tags)))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def of(cls, measurement: str, **tags: str) -> Series:
        """Build a series from tags in any order; empty ones are left out."""
        return cls(measurement, tuple(sorted((tag, value) for tag, value in tags.items() if value)))

    def tag(self, name: str) -> str:
        """Value of a tag; empty where the series has none of that name."""
        return dict(self.tags).get(name, "")


@dataclass(frozen=True, slots=True)
class Point:
    """Values of one series at one time (Unix time in nanoseconds). Same series and time: same point."""

    series: Series
    time_ns: int
    fields: Fields
