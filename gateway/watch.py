"""`messnetz gateway watch`: the status and the last values, live. Plain control codes: it works over SSH."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

from gateway import show

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from gateway.show import Answer

HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
CLEAR, HIDE_CURSOR, SHOW_CURSOR = "\x1b[2J", "\x1b[?25l", "\x1b[?25h"


SMALL_COLUMNS, SMALL_ROWS = 66, 16
"""In a window with fewer the table would show no device."""


def drawn(answer: Answer, columns: int, rows: int) -> list[str]:
    """Show the status in a window of this size."""
    lines = show.status(answer)
    if columns < SMALL_COLUMNS or (rows < SMALL_ROWS and len(lines) > rows):
        lines = show.small(answer, columns)
    return fit(lines, columns, rows)


def fit(lines: list[str], columns: int, rows: int) -> list[str]:
    """Cut lines to a terminal; where there are too many, the last line says how many more."""
    if len(lines) > rows:
        lines = [*lines[: rows - 1], f"... +{len(lines) - rows + 1}"]
    return [line[:columns] for line in lines]


def run(ask: Callable[[], Answer], every_s: float, out: TextIO | None = None, rounds: int | None = None) -> None:
    """Show what `ask` returns, again and again; on a terminal in place, else in lines that only grow.

    `rounds`: so many times, for ever where None. Raises: whatever `ask` raises.
    """
    out = out or sys.stdout
    is_terminal = out.isatty()
    if is_terminal:
        out.write(HIDE_CURSOR + CLEAR)
    done = 0
    try:
        while rounds is None or done < rounds:
            if done:
                time.sleep(every_s)
            answer = ask()
            if is_terminal:
                size = shutil.get_terminal_size()
                shown = drawn(answer, size.columns, size.lines)
                out.write(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in shown[:-1]))
                out.write(f"{shown[-1]}{CLEAR_LINE}{CLEAR_BELOW}")
            else:
                out.write("\n".join((*show.status(answer), "", "")))
            out.flush()
            done += 1
    finally:
        if is_terminal:
            out.write(f"\n{SHOW_CURSOR}")
            out.flush()
