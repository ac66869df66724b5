"""Times in P1: `YYMMDDhhmmss` and, since DSMR 4, `S` or `W`: summer or winter time of Central Europe."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_OFFSETS = {"S": timezone(timedelta(hours=2)), "W": timezone(timedelta(hours=1))}


def unix_ms(text: str) -> int | None:
    """Return the Unix time in ms; None where it says none, or not whether it is summer time."""
    zone = _OFFSETS.get(text[12:])
    if zone is None or not text[:12].isdigit():
        return None
    numbers = [int(text[at : at + 2]) for at in range(0, 12, 2)]
    try:
        return round(datetime(2000 + numbers[0], *numbers[1:], tzinfo=zone).timestamp() * 1000)  # type: ignore[misc,arg-type]
    except ValueError:  # the 31st of February
        return None
