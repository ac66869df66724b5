"""What every bench shares: a row of the table, its verdict, the table itself, and the machine it was measured on.

A figure is compared with what must be reached and with a peer of the same run; machines and hours differ.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

WIDTH = 62


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure beside its target. Without targets it only informs."""

    what: str
    measured: float | None
    """None where it could not be measured; `note` says why."""
    unit: str
    must: float | None = None
    dream: float | None = None
    better: Literal["less", "more"] = "less"
    peer: float | None = None
    """ThingsBoard Gateway's figure in the same run."""
    note: str = ""

    @property
    def verdict(self) -> str:
        """`dream`, `met`, `MISSED`, or nothing where there is no target or no figure."""
        if self.measured is None or self.must is None:
            return "" if self.measured is not None else "not measured"
        if self.dream is not None and self._reaches(self.dream):
            return "dream"
        return "met" if self._reaches(self.must) else "MISSED"

    def _reaches(self, target: float) -> bool:
        assert self.measured is not None
        return self.measured <= target if self.better == "less" else self.measured >= target

    def cells(self) -> tuple[str, ...]:
        """Texts of its columns."""
        sign = "" if self.must is None else ("at most " if self.better == "less" else "at least ")
        return (
            self.what,
            f"{number(self.measured)} {self.unit}".strip(),
            sign + number(self.must),
            number(self.dream),
            self.verdict,
            number(self.peer),
            self.note,
        )


HEAD = ("what", "measured", "must", "dream", "verdict", "TB Gateway", "note")


@dataclass(frozen=True)
class Scale:
    """How long and how much to measure."""

    quick: bool = False
    """A smoke test: every bench runs, no figure is worth anything."""

    def seconds(self, whole: float, quick: float) -> float:
        """Return how long to measure."""
        return quick if self.quick else whole

    def count(self, whole: int, quick: int) -> int:
        """Return how many of something to take."""
        return quick if self.quick else whole


def say(text: str) -> None:
    """Show progress, apart from the results."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def number(value: float | None) -> str:
    """Write a number with as many digits as it is worth."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(rows: Iterable[Row]) -> str:
    """Write rows as a Markdown table that also reads well on a terminal."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + " |"
        for line in (lines[0], rule, *lines[1:])
    )


def machine() -> str:
    """Describe the machine in one line, with its load, which decides what a figure is worth."""
    load = " ".join(f"{load:.1f}" for load in os.getloadavg())
    model = _processor() or platform.machine()
    return (
        f"{os.cpu_count()} cores ({model}), {_memory_gib():.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load {load}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return ""


def _memory_gib() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)


def as_json(rows: Sequence[Row], described: str) -> bytes:
    """Write rows for programs."""
    content = {"machine": described, "rows": [asdict(row) | {"verdict": row.verdict} for row in rows]}
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def main(measure: Callable[[Scale], list[Row]]) -> None:
    """Run one bench by itself: `python -m bench.<name> [--quick] [--json FILE]`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a smoke test; the figures are worth nothing")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    options = parser.parse_args()
    described = machine()
    print(described)
    rows = measure(Scale(options.quick))
    print(table(rows))
    if options.json:
        options.json.write_bytes(as_json(rows, described))
