"""The time that a source gives to what it says. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import msgspec

from edge.json_values import paths

if TYPE_CHECKING:
    from base.strict_yaml import Document, Path_

MAX_TEXT = 64
LATEST_MS = 1e15
_NUMBER = re.compile(r"^[0-9]{1,16}(\.[0-9]{1,9})?\Z")
FORMATS = ("iso8601", "unix_s", "unix_ms")


class OwnTime(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a message says when it was measured."""

    path: str
    """As those of the values."""
    format: str = "iso8601"
    """`iso8601`, `unix_s`, `unix_ms`, or a pattern such as `%d.%m.%Y %H:%M:%S`."""
    zone: str | None = None
    """Time zone of a time that has none with it: `UTC`, `Europe/Berlin`."""
    add_s: Annotated[float, msgspec.Meta(ge=-86_400, le=86_400)] = 0.0
    """Added to it: the length of the interval, where the source gives the interval's start."""


def check(document: Document, at: Path_, own: OwnTime) -> None:
    """Check how a time is written.

    Raises: ConfigError at the line that is wrong.
    """
    if paths.parse(own.path) is None:
        raise document.error((*at, "path"), repr(own.path), "names joined by dots, such as 'data.time'")
    if own.format not in FORMATS and "%" not in own.format:
        raise document.error((*at, "format"), repr(own.format), f"one of: {', '.join(FORMATS)}; or a pattern with %")
    if "%" in own.format and "%z" not in own.format and own.zone is None:
        raise document.error((*at, "format"), "a time without its zone", "'zone' beside it, or %z in it")
    if own.zone is not None and _zone(own.zone) is None:
        raise document.error((*at, "zone"), repr(own.zone), "a time zone, such as UTC or Europe/Berlin")


def _zone(name: str) -> tzinfo | None:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return None


class Clock:
    """Reads the times of one source."""

    def __init__(self, own: OwnTime) -> None:
        path = paths.parse(own.path)
        assert path is not None  # noqa: S101 - `check` has looked
        self._find, self._format, self._add_s = path, own.format, own.add_s
        self._zone = _zone(own.zone) if own.zone is not None else None

    def read(self, data: object, now_ms: int) -> int:
        """Return when a message was measured (Unix, ms). `now_ms` decides in the hour that the clocks go through twice.

        Raises: ValueError, in words.
        """
        given = self._find(data)
        if given is paths.MISSING or given is None:
            raise ValueError("no time in it")
        at_ms = (
            self._unix(given) if self._format.startswith("unix") else self._text(given, now_ms)
        ) + self._add_s * 1e3
        if not 0 <= at_ms < LATEST_MS:
            raise ValueError("a time that cannot be")
        return round(at_ms)

    def _unix(self, given: object) -> float:
        if isinstance(given, str) and _NUMBER.match(given):
            given = float(given)
        if isinstance(given, bool) or not isinstance(given, int | float) or not abs(given) < LATEST_MS:
            raise ValueError("a time that is no number")
        return given * (1000.0 if self._format == "unix_s" else 1.0)

    def _text(self, given: object, now_ms: int) -> float:
        if not isinstance(given, str) or len(given) > MAX_TEXT:
            raise ValueError("a time that is no text")
        try:
            at = datetime.strptime(given, self._format) if "%" in self._format else datetime.fromisoformat(given)  # noqa: DTZ007 - its zone comes next
        except ValueError as error:
            raise ValueError(f"{given!r}, which is no time") from error
        if at.tzinfo is None and self._zone is None:
            raise ValueError(f"{given!r}, a time without its zone")
        try:
            if at.tzinfo is not None:
                return at.timestamp() * 1000
            both = [at.replace(tzinfo=self._zone, fold=fold).timestamp() * 1000 for fold in (0, 1)]
        except (OverflowError, ValueError) as error:
            raise ValueError(f"{given!r}, a time that cannot be") from error
        return min(both, key=lambda each: abs(now_ms - each))
