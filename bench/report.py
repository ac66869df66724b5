"""Put measured rows into `docs/performance.md`: `python -m bench.report ROWS.json...`, as `--json` wrote them.

What stands outside the two markers is written by hand and stays.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from bench import ROOT
from bench.harness import Row, table

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"


class Rows(msgspec.Struct):
    """One file of rows."""

    machine: str
    rows: list[Row]


def put(page: str, files: list[Rows]) -> str:
    """Return the page with these rows between its markers.

    Raises: ValueError where it has no markers.
    """
    head, _, rest = page.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise ValueError(f"no {BEGIN} ... {END} in the page")
    parts = [f"On {file.machine}:\n\n{table(file.rows)}" for file in files]
    return f"{head}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{tail}"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", type=Path)
    files = [msgspec.json.decode(file.read_bytes(), type=Rows) for file in parser.parse_args().files]
    PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), files), encoding="utf-8")


if __name__ == "__main__":
    main()
