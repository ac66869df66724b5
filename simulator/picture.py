"""The demo as a live picture: the way of the readings, the latest values, and what happens. Fits 80x24."""

from __future__ import annotations

import asyncio
import io
import re
import time
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from simulator.devices import now_ms
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.progress import Progress
    from simulator.spec import Device, TownSpec

WIDTH = 80
EVERY_S = 0.25
BOX_WIDTH = 13
ARROW = "──▶"
SHOWN_EVENTS = 2
SHOWN_DEVICES = 10
SHOWN_VALUES = 3
HEADLINES = {
    "active_power": 0,
    "voltage/L1": 1,
    "active_energy_import": 1,
    "heat_power": 0,
    "temp_water_flow": 1,
    "heat_energy": 0,
    "temp_air": 1,
    "humidity": 0,
    "co2_indoor": 0,
    "pm2_5": 1,
    "pm10": 1,
}
"""Quantity as on the wire -> its decimals: of a device that measures much, these are shown."""
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


class LiveView:
    """Draws on a terminal; `svg` is where the last picture is saved, too."""

    live = True

    def __init__(self, svg: Path | None = None) -> None:
        self._console = Console(highlight=False)
        self._svg = svg

    def say(self, text: str) -> None:
        """Write one line before or after the picture."""
        self._console.print(text, markup=False)

    async def show(self, progress: Progress) -> NoReturn:
        """Draw four times a second."""
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            try:
                while True:
                    live.update(render(progress), refresh=True)
                    await asyncio.sleep(EVERY_S)
            finally:
                if self._svg is not None:
                    self._svg.write_text(to_svg(progress), encoding="utf-8")


def render(progress: Progress) -> Group:
    """The whole picture."""
    return Group(_title(progress), Text(), _way(progress), Text(), _values(progress), Text(), _events(progress))


def to_svg(progress: Progress) -> str:
    """The picture as an SVG that asks no other server for fonts."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    console.print(render(progress))
    return _FONTS.sub("", console.export_svg(title="messnetz demo"))


def _title(progress: Progress) -> Table:
    line = Table.grid(expand=True)
    line.add_column()
    line.add_column(justify="right")
    minutes, seconds = divmod(int(progress.elapsed_s), 60)
    line.add_row(
        Text(f"Messnetz: the demo town {progress.town.name}", style="bold"),
        Text(f"{minutes}:{seconds:02} min   Ctrl-C ends", style="dim"),
    )
    return line


def _way(progress: Progress) -> Text:
    """The stages as boxes in a row, with the number of readings under each that counts them."""
    counts = progress.counts()
    stages = (
        (f"{len(progress.town.devices)} devices", "in the field", "made", counts.made),
        (_gateways(progress), "spool", "sealed", counts.sealed),
        (progress.broker, "MQTT", "", None),
        ("collector", "registry", "confirmed", counts.confirmed),
        (progress.store, "store", "stored", counts.stored),
    )
    inner = BOX_WIDTH - 2
    gap, arrow = " " * len(ARROW), ARROW
    names = [f"│{name:^{inner}}│" for name, _, _, _ in stages]
    parts = [f"│{part:^{inner}}│" for _, part, _, _ in stages]
    labels = [f"{label:^{BOX_WIDTH}}" for _, _, label, _ in stages]
    numbers = ["" if number is None else _grouped(number) for _, _, _, number in stages]
    text = Text(no_wrap=True, overflow="crop")
    text.append(gap.join([f"╭{'─' * inner}╮"] * len(stages)) + "\n", style="cyan")
    text.append(arrow.join(names) + "\n", style="cyan")
    text.append(gap.join(parts) + "\n", style="cyan")
    text.append(gap.join([f"╰{'─' * inner}╯"] * len(stages)) + "\n", style="cyan")
    text.append(gap.join(labels) + "\n", style="dim")
    text.append(gap.join(f"{number:^{BOX_WIDTH}}" for number in numbers), style="bold green")
    return text


def _gateways(progress: Progress) -> str:
    number = len(progress.town.gateways)
    return "gateway" if number == 1 else f"{number} gateways"


def _values(progress: Progress) -> Table:
    """The newest value of some quantities of the first devices of every bus, as the store has them."""
    table = Table(box=None, pad_edge=False, collapse_padding=True, expand=True, header_style="dim")
    for name in ("stored last", "at"):
        table.add_column(name, no_wrap=True)
    for name in ("", "", "latest", "age"):
        table.add_column(name, justify="right", no_wrap=True)
    for device in _shown(progress.town):
        times_ms = [r.time_ms for (owner, _), r in progress.latest.items() if owner == device.id]
        age = f"{max(0, now_ms() - max(times_ms)) / 1000:.0f} s" if times_ms else "-"
        named = [name for name in HEADLINES if name in device.model.names]
        names = [*named, *(name for name in device.model.names if name not in HEADLINES)][:SHOWN_VALUES]
        cells = [_cell(progress, device.id, name) for name in names] + [""] * (SHOWN_VALUES - len(names))
        table.add_row(device.id, str(progress.town.sites[device.site]["name"]), *cells, age)
    return table


def _shown(town: TownSpec) -> list[Device]:
    """Choose devices of every bus, the first of each first, in the order of the town."""
    on_bus = [devices for gateway in town.gateways for devices in gateway.buses.values()]
    chosen = [devices[turn] for turn in range(SHOWN_DEVICES) for devices in on_bus if turn < len(devices)]
    shown = {device.id for device in chosen[:SHOWN_DEVICES]}
    return [device for device in town.devices if device.id in shown]


def _cell(progress: Progress, device: str, name: str) -> str:
    reading = progress.latest.get((device, name))
    if reading is None:
        return "-"
    return f"{_grouped(reading.value, HEADLINES.get(name, 1))} {quantities()[reading.quantity].unit}"


def _events(progress: Progress) -> Text:
    shown = list(progress.events)[-SHOWN_EVENTS:]
    lines = [f"{time.strftime('%H:%M:%S', time.localtime(event.at))}  {event.text}" for event in shown]
    return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


def _grouped(number: float, decimals: int = 0) -> str:
    return f"{number:,.{decimals}f}".replace(",", " ")
