"""Times as networks write them: ISO 8601, with nanoseconds. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def first_ms(*choices: Iterable[str | None]) -> int | None:
    """Return the earliest time (Unix, ms) of the first choice that has any; what is no time is passed over."""
    for times in choices:
        known = [at_ms for time in times if time and (at_ms := _ms(time)) is not None]
        if known:
            return min(known)
    return None


def _ms(text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text)
        at_ms = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return at_ms if at_ms > 0 else None
