"""What a technician sees: the status as a table, the last values, live or in lines."""

from __future__ import annotations

import io
from typing import Any

import pytest

from gateway import show, watch

NOW_MS = 1_795_345_200_000
MAIN: dict[str, Any] = {
    "id": "school-main",
    "interval_s": 10.0,
    "urgent": False,
    "reachable": True,
    "read_at_ms": NOW_MS - 3000,
    "parked_s": None,
    "requests": 1200,
    "errors": 3,
    "values": 16,
    "error": "",
    "latest": [
        {"name": "voltage/L1", "value": 230.1, "unit": "V", "at_ms": NOW_MS - 3000},
        {"name": "active_power", "value": -1234.5, "unit": "W", "at_ms": NOW_MS - 3000},
    ],
}
GYM: dict[str, Any] = {
    **MAIN,
    "id": "school-gym",
    "reachable": False,
    "read_at_ms": None,
    "parked_s": 75.2,
    "values": 0,
    "error": "/dev/ttyS0, unit 2: no answer in 1 s",
    "latest": [],
}
ANSWER: dict[str, Any] = {
    "gateway": "school-gw",
    "running": True,
    "state": "online",
    "connected": False,
    "broker": "broker.example:8883",
    "version": "0.1.0",
    "since_ms": NOW_MS - 3_700_000,
    "now_ms": NOW_MS,
    "config": "c0ffee",
    "time": {"origin": "kernel", "is_doubtful": False, "since_s": 3600.0, "wall_ahead_ms": 3},
    "refused": None,
    "pending_readings": 5,
    "dropped_readings": 0,
    "in_flight_batches": 2,
    "window_batches": 16,
    "waiting_batches": 40,
    "waiting_s": 1300.0,
    "spool_bytes": 1_234_567,
    "sealed_batches": 100,
    "sealed_readings": 5000,
    "confirmed_batches": 60,
    "confirmed_readings": 3000,
    "rejected_batches": 0,
    "rejected_readings": 0,
    "buses": [{"id": "cellar", "place": "/dev/ttyS0", "share": 0.4567, "devices": [MAIN, GYM]}],
}
TABLE = """\
Gateway           school-gw, running for 61 min, version 0.1.0
Configuration     c0ffee
Time              synchronised, the kernel says
Connection        NOT connected to broker.example:8883
Spool             40 batches wait to be confirmed, the oldest for 21 min; 1.2 MB
In flight         2 of 16 batches
Sealed            5000 readings in 100 batches, 3000 confirmed, 5 not sealed yet

Bus cellar (/dev/ttyS0), 46 % of its time used
Device                    answers           read    every  values         errors          next try
school-main               yes            3 s ago     10 s      16         3/1200
    Voltage L1                                        230.1 V           3 s
    Active power                                    -1234.5 W           3 s
school-gym                NO               never     10 s       0         3/1200           in 75 s
    ! /dev/ttyS0, unit 2: no answer in 1 s"""


def test_the_table_is_what_a_technician_reads() -> None:
    """Who answers, who does not and why, and what waits."""
    assert "\n".join(show.status(ANSWER)) == TABLE


def test_a_reading_that_is_not_believed_is_shown_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the reader's language; a reason of another release as it was said."""
    said = {"name": "voltage/L1", "flags": 1, "kind": "range", "values": {"low": 0, "high": 500}, "text": "..."}
    newer = {"name": "humour", "flags": 1, "kind": "dry", "values": {}, "text": "not funny"}
    bus = {"id": "cellar", "place": "/dev/ttyS0", "share": 0.5, "devices": [{**GYM, "suspect": [said, newer]}]}
    assert show.bus_table(bus, NOW_MS)[-2:] == ["    ? Voltage L1: outside 0 to 500", "    ? humour: not funny"]
    monkeypatch.setenv("MESSNETZ_LANGUAGE", "de")
    assert show.bus_table(bus, NOW_MS)[-2] == "    ? Spannung L1: außerhalb von 0 bis 500"


def test_what_a_bus_counts_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what people ask for; nothing where that is nothing, as with a bus that counts nothing."""
    counted = {"datagrams": 9, "new": 3, "replay": 1, "duplicates": 2, "joins": 0}
    bus = {"id": "roof", "place": "udp 127.0.0.1:1700", "share": 0.5, "devices": []}
    assert show.bus_table({**bus, "counts": counted}, NOW_MS)[2] == "    new messages: 3, duplicates: 2, replays: 1"
    assert show.bus_table({**bus, "counts": {}}, NOW_MS) == show.bus_table(bus, NOW_MS)
    monkeypatch.setenv("MESSNETZ_LANGUAGE", "de")
    assert show.bus_table({**bus, "counts": {"replay": 2}}, NOW_MS)[2] == "    wiederholt eingespielt: 2"


def test_one_is_not_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """In both languages, verbs too."""
    one = dict.fromkeys(("waiting_batches", "window_batches", "sealed_batches", "sealed_readings"), 1)
    answer = {**ANSWER, **one, "dropped_readings": 1}
    assert [line[18:] for line in show.head(answer)[4:]] == [
        "1 batch waits to be confirmed, the oldest for 21 min; 1.2 MB",
        "2 of 1 batch",
        "1 reading in 1 batch, 3000 confirmed, 5 not sealed yet",
        "1 reading: the disk takes nothing",
    ]
    monkeypatch.setenv("MESSNETZ_LANGUAGE", "de")
    assert [line[18:] for line in show.head(answer)[4:]] == [
        "1 Paket wartet auf Bestätigung, das älteste seit 21 min; 1.2 MB",
        "2 von 1 Paket",
        "1 Messwert in 1 Paket, 3000 bestätigt, 5 noch nicht versiegelt",
        "1 Messwert: der Datenträger nimmt nichts an",
    ]


def test_it_speaks_german(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels and sentences; what is wrong stays English."""
    monkeypatch.setenv("MESSNETZ_LANGUAGE", "de")
    shown = "\n".join(show.status(ANSWER))
    assert "Verbindung        NICHT verbunden mit broker.example:8883" in shown
    assert "Spannung L1" in shown
    assert "NEIN" in shown
    assert "no answer in 1 s" in shown


def test_a_refused_reload_comes_second_and_losses_are_loud() -> None:
    """Nobody has to look for them."""
    refused = {"at_ms": 1, "error": "gw.yaml:3:7: found 'x'; expected a number", "hash": "bad"}
    lines = show.head({**ANSWER, "refused": refused, "dropped_readings": 7, "rejected_readings": 9})
    assert lines[1] == "NOT RELOADED      gw.yaml:3:7: found 'x'; expected a number"
    assert lines[-2:] == [
        "Rejected          9 readings, kept in the spool",
        "LOST              7 readings: the disk takes nothing",
    ]


def test_a_disk_that_takes_nothing_is_said_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sealed, and why: in both languages, between what is in flight and what is sealed."""
    full = {**ANSWER, "seal_error": "/var/lib: 0.0 MiB free, 0.7 MiB must stay free: nothing is sealed"}
    because = "/var/lib: 0.0 MiB free, 0.7 MiB must stay free: nothing is sealed"
    assert show.head(full)[6] == f"NOT SEALED        5 readings wait in memory: {because}"
    monkeypatch.setenv("MESSNETZ_LANGUAGE", "de")
    assert show.head(full)[6] == f"NICHT VERSIEGELT  5 Messwerte warten im Arbeitsspeicher: {because}"
    assert len(show.head({**full, "seal_error": ""})) == 7


def test_a_spool_that_cannot_be_read_is_a_row_and_hides_nothing() -> None:
    """The agent lives: its buses and devices are shown as ever."""
    counts = ("waiting_", "spool_bytes", "sealed_", "confirmed_", "rejected_")
    answer = {name: value for name, value in ANSWER.items() if not name.startswith(counts)}
    shown = show.status({**answer, "spool_error": "/var/lib/spool.sqlite: disk I/O error"})
    assert shown[4] == "Spool             CANNOT BE READ: /var/lib/spool.sqlite: disk I/O error"
    assert shown[5:] == [line for line in TABLE.splitlines()[5:] if not line.startswith("Sealed")]


@pytest.mark.parametrize(
    ("time", "line"),
    [
        ({"origin": None}, "NONE for 60 min; readings are kept, and placed when it is known"),
        ({"origin": "trusted"}, "from the machine's clock, which is trusted"),
        (
            {"origin": "collector", "is_doubtful": True},
            "from the collector, for 60 min; the machine has none: readings carry flag 16",
        ),
        (
            {"is_doubtful": True, "wall_ahead_ms": -3_600_000},
            "DOUBTFUL for 60 min: the machine's clock is off by -3600.0 s; readings carry flag 16",
        ),
    ],
)
def test_what_the_time_is_worth_is_said(time: dict[str, Any], line: str) -> None:
    """Who must set a clock learns it here."""
    assert show.head({**ANSWER, "time": {**ANSWER["time"], **time}})[2] == f"Time              {line}"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h 0 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_an_age_has_the_units_of_its_size(seconds: float, shown: str) -> None:
    """No 200000 s."""
    assert show.age(seconds) == shown


@pytest.mark.parametrize(("count", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (5e12, "5000.0 GB")])
def test_bytes_have_the_units_of_their_size(count: float, shown: str) -> None:
    """As disks count them."""
    assert show.size(count) == shown


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_in_a_pipe_the_rounds_follow_each_other_plainly() -> None:
    """No control codes in a log."""
    out = io.StringIO()
    watch.run(lambda: ANSWER, 0, out, rounds=2)
    assert out.getvalue() == f"{TABLE}\n\n" * 2


def test_on_a_terminal_it_is_drawn_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut to its size, the cursor hidden, and given back at the end."""
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("LINES", "16")
    out = Terminal()
    watch.run(lambda: ANSWER, 0, out, rounds=2)
    drawn = out.getvalue()
    assert drawn.startswith(watch.HIDE_CURSOR + watch.CLEAR + watch.HOME)
    assert drawn.endswith(watch.SHOW_CURSOR)
    first = drawn.split(watch.HOME)[1].replace(watch.CLEAR_LINE, "").replace(watch.CLEAR_BELOW, "")
    assert first.splitlines() == [line[:70] for line in TABLE.splitlines()]


def test_a_window_that_is_too_low_says_how_much_is_left_out() -> None:
    """In its last line."""
    assert watch.fit(["a" * 9, "b", "c", "d"], 6, 3) == ["aaaaaa", "b", "... +2"]


@pytest.mark.parametrize("size", [(40, 10), (100, 10)])
def test_a_small_window_shows_the_devices(size: tuple[int, int]) -> None:
    """One line for the gateway, one for each device, and what is wrong between them."""
    long = {**MAIN, "id": "school-in-the-long-street-of-our-town-main"}
    answer = {**ANSWER, "buses": [{**ANSWER["buses"][0], "devices": [long, GYM]}], "seal_error": "no room"}
    lines = watch.drawn(answer, *size)
    width = size[0] - 18
    name = "school-in-the-long-st~" if size[0] == 40 else "school-in-the-long-street-of-our-town-main"
    assert lines == [
        "school-gw  connected: NO  waiting: 40",
        "NOT SEALED: no room",
        f"{name:<{width}} yes       3 s ago",
        f"{'school-gym':<{width}} NO          never",
    ]
    assert all(len(line) <= size[0] for line in lines)


def test_the_cursor_comes_back_whatever_happens() -> None:
    """An agent that ends leaves the terminal as it was."""
    out = Terminal()

    def gone() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch.run(gone, 0, out)
    assert out.getvalue().endswith(watch.SHOW_CURSOR)
