"""The day on which this release was made, moved on with every release: no clock that says less can be right."""

from __future__ import annotations

from datetime import UTC, datetime

BUILT_AT = datetime(2026, 8, 1, tzinfo=UTC)
BUILT_AT_MS = round(BUILT_AT.timestamp() * 1000)
