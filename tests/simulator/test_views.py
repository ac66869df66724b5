"""What a person sees of a running demo."""

from __future__ import annotations

import io
import re

import msgspec
import pytest
from rich.console import Console

from simulator import town
from simulator.account import Account, GatewayStatus, Stored
from simulator.devices import Journal, Poll, now_ms
from simulator.models import Registers
from simulator.picture import render, to_svg
from simulator.plain import RARE, account_lines, counts_line
from simulator.progress import Progress

ROWS, COLUMNS = 24, 80
CLEAN = Account(
    made=12, sealed=12, confirmed=12, stored=12, lost=0, duplicates=0, wrong=0, wrong_time=0, unregistered=0
)


@pytest.fixture
def progress() -> Progress:
    """A demo that has run for long: large numbers, all values, many events."""
    journal = Journal([Poll("school-main", now_ms())], 1_234_567)
    progress = Progress("mosquitto", "InfluxDB 1", journal, stored=1_234_400)
    for device in town.DEVICES:
        for name in device.model.names:
            quantity, _, channel = name.partition("/")
            value = town.truth(device.id, name, now_ms())
            progress.latest[device.id, name] = Stored("electricity", device.id, quantity, channel, now_ms(), value)
    for batch in range(1, 30):
        progress.learn(GatewayStatus(connected=True, sealed_batches=batch, sealed_readings=1_234_500))
    progress.learn(
        GatewayStatus(
            connected=True,
            sealed_batches=29,
            confirmed_batches=28,
            sealed_readings=1_234_500,
            confirmed_readings=1_234_450,
        )
    )
    return progress


def drawn(progress: Progress) -> list[str]:
    """The lines of the picture on a terminal of the usual size."""
    console = Console(width=COLUMNS, file=io.StringIO(), record=True)
    console.print(render(progress))
    return console.export_text().splitlines()


def test_the_picture_fits_the_usual_terminal(progress: Progress) -> None:
    """Nothing is cut off at 80x24, where the last line stays free for the cursor."""
    lines = drawn(progress)
    assert len(lines) < ROWS
    assert max(len(line.rstrip()) for line in lines) <= COLUMNS
    assert "…" not in "".join(lines)


def test_the_picture_shows_the_way_and_its_counts(progress: Progress) -> None:
    """In the order in which a reading goes."""
    text = "\n".join(drawn(progress))
    way = re.search(r"\d+ devices.*gateway.*mosquitto.*collector.*InfluxDB 1", text)
    numbers = re.search(r"1 234 567 +1 234 500 +1 234 450 +1 234 400", text)
    assert way is not None
    assert numbers is not None


def test_the_picture_shows_the_latest_values_with_units(progress: Progress) -> None:
    """One row for a device of every bus, by the name of its site."""
    lines = drawn(progress)
    buses = {device.bus: device for device in reversed(town.DEVICES)}
    for device in buses.values():
        (row,) = [line for line in lines if line.startswith(f"{device.id} ")]
        assert str(town.SITES[device.site]["name"]) in row
        if isinstance(device.model, Registers):
            assert re.search(r"[\d ]+ W +2[23]\d\.\d V +[\d ]+\.\d kWh +\d+ s$", row.rstrip()), row


def test_the_picture_of_the_first_moment_has_no_values_yet() -> None:
    """And says so by a dash, not by a zero."""
    (row,) = [line for line in drawn(Progress("amqtt", "SQLite", Journal())) if line.startswith("school-main ")]
    assert row.split()[-4:] == ["-"] * 4


def test_the_picture_as_svg_asks_no_other_server(progress: Progress) -> None:
    """Fonts come from the machine that shows it."""
    svg = to_svg(progress)
    assert "@font-face" not in svg
    assert "url(http" not in svg
    assert "mosquitto" in svg


def test_what_happens_is_told_once() -> None:
    """A status that says nothing new is no event."""
    progress = Progress("amqtt", "SQLite", Journal())
    status = GatewayStatus(connected=True, sealed_batches=1, sealed_readings=62)
    for _ in range(3):
        progress.learn(status)
    assert [event.text for event in progress.events] == [
        "the agent is connected to the broker",
        "batch 1 sealed on the gateway's disk: 62 readings",
    ]


def test_what_goes_wrong_is_told() -> None:
    """A lost broker and rejected readings."""
    progress = Progress("amqtt", "SQLite", Journal())
    progress.learn(GatewayStatus(connected=True))
    progress.learn(GatewayStatus(connected=False, rejected_readings=5))
    assert [event.text for event in progress.events][1:] == [
        "the agent lost the broker",
        "5 readings rejected: the store can never take them",
    ]


def test_a_line_of_counts_names_every_stage() -> None:
    """For a log that a person reads."""
    counts = Progress("amqtt", "SQLite", Journal(readings=70), stored=5, own=2).counts()
    words = counts_line(12.3, counts).split()
    assert words[:10] == ["12", "s", "made", "70", "sealed", "0", "confirmed", "0", "stored", "5"]
    assert words[10:] == ["of", "those", "2", "the", "gateway's", "own"]


def test_a_clean_account_says_so() -> None:
    """With all numbers."""
    *lines, verdict = account_lines(CLEAN, "SQLite")
    assert [(line[:12].strip().replace(" ", "_"), int(line[12:21])) for line in lines] == [
        (name, getattr(CLEAN, name)) for name in CLEAN.__struct_fields__ if name not in RARE
    ]
    assert verdict == "Every reading arrived once, and as it was."


def test_an_account_that_does_not_add_up_says_so() -> None:
    """One reading is enough."""
    lost = msgspec.structs.replace(CLEAN, stored=11, lost=1, unaccounted=1)
    *lines, verdict = account_lines(lost, "SQLite")
    assert "unaccounted         1   of those, nothing says so" in lines
    assert verdict == "The account does not add up."


def test_an_account_that_came_too_early_says_that() -> None:
    """Ctrl-C at once is no fault: nothing was made yet, or the gateway still has what is not stored."""
    nothing = msgspec.structs.replace(CLEAN, made=0, sealed=2, confirmed=0, stored=0, waiting=2)
    assert account_lines(nothing, "SQLite")[-1] == "Ended before a meter was read: there is nothing to account for."
    early = msgspec.structs.replace(CLEAN, confirmed=0, stored=0, lost=12, unaccounted=12, waiting=CLEAN.sealed)
    verdict = account_lines(early, "SQLite")[-1]
    assert verdict.startswith(f"Ended before all was confirmed: {CLEAN.sealed} readings wait on the gateway's disk")


@pytest.mark.parametrize(
    "changes",
    [{"wrong": 1}, {"duplicates": 1}, {"unaccounted": 13}, {"confirmed": 1}, {"made": 99}, {"unregistered": 1}],
    ids=str,
)
def test_what_waits_excuses_nothing_else(changes: dict[str, int]) -> None:
    """A reading that is wrong, or confirmed and not stored, is a fault however early the end."""
    early = msgspec.structs.replace(CLEAN, confirmed=0, stored=0, lost=12, unaccounted=12, waiting=12)
    harmed = msgspec.structs.replace(early, **changes)
    assert account_lines(harmed, "SQLite")[-1] == "The account does not add up."
