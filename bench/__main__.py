"""Run the benches: `python -m bench [NAME...] [--quick] [--json FILE]`. Leaves with 1 only where one could not run."""

from __future__ import annotations

import argparse
import sys
import traceback
from importlib import import_module
from pathlib import Path

from bench.harness import Row, Scale, as_json, machine, say, table

BENCHES = {
    "agent": "the agent as a whole, beside ThingsBoard Gateway",
    "collector": "the collector as a whole, into InfluxDB 1",
    "drivers": "what each protocol costs the agent's memory",
    "drain": "the backlog of a gateway that was offline, beside fresh data",
    "fleet": "a thousand gateways reconnect at once",
    "disk": "what a day writes to the card",
    "growth": "what a town costs as it grows",
    "path": "one core's worth of the path of a reading, by parts",
    "modbus": "registers a second beside a bare client",
    "codecs": "LoRaWAN messages decoded a second in one worker",
}
"""Module of `bench` -> what it measures. A module is listed here or not run."""


def main() -> int:
    """Run what was asked for, or everything."""
    listed = "\n".join(f"  {name:10} {what}" for name, what in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench", epilog=f"benches:\n{listed}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all unless said")
    parser.add_argument("--quick", action="store_true", help="a smoke test; the figures are worth nothing")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    options = parser.parse_args()
    if unknown := set(options.names) - BENCHES.keys():
        parser.error(f"no bench {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}")
    described, rows, failed = machine(), list[Row](), list[str]()
    print(described)
    for name in options.names or BENCHES:
        say(f"{name}: {BENCHES[name]}")
        try:
            found: list[Row] = import_module(f"bench.{name}").measure(Scale(options.quick))
        except Exception:  # noqa: BLE001 - the others are measured all the same
            traceback.print_exc()
            failed.append(name)
            continue
        rows += found
        print(table(found), flush=True)
    if len(options.names) != 1:
        print(f"\n{table(rows)}\n{machine()}")
    if options.json:
        options.json.write_bytes(as_json(rows, described))
    for name in failed:
        say(f"{name} could not run")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
