"""`messnetz cloud adopt`: killed at any moment, and what it shows."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

import messnetz
from cloud import export, registry, town
from cloud.adopt import Choice, adopt
from cloud.outcomes import Count, Kind, Outcome, Tally
from cloud.progress import Progress
from cloud.routing import route
from cloud.stores.embedded import EmbeddedStore
from wire.readings import Reading, Sample

import towns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud.registry import Registry

AT_MS = 1_795_000_000_123  # 2026-11-18
MINUTES = 5
PIECE = 4
COLLECTOR = "collector: c1\nmqtt: {host: broker.example}\nstore: {embedded: {path: store.sqlite}}\n"
NEW = "      - {id: school-new, profile: eastron/sdm630, site: school, unit: 3, since: 2026-11-01}\n"


def _known(directory: Path) -> tuple[Registry, Registry]:
    """The registry before somebody registered `school-new`, and after; the latter stands in its file."""
    files, file = towns.make(directory / "town"), directory / "registry.yaml"
    town.write_registry(files, file, today="2026-11-02")
    before = registry.load(file)
    gateway = files / "gateways" / "school-gw.yaml"
    gateway.write_text(gateway.read_text().replace("    devices:\n", "    devices:\n" + NEW))
    town.write_registry(files, file, today="2026-11-20")
    return before, registry.load(file)


def _minute(number: int, device: str = "school-new") -> Sample:
    return Sample(
        device, AT_MS + number * 60_000, (Reading("active_power", 1.0 + number, "W"), Reading("frequency", 50.0, "Hz"))
    )


@pytest.fixture
def collector(tmp_path: Path) -> Path:
    """A collector's file, and a store in which readings of a device wait that the registry knows by now."""
    before, _ = _known(tmp_path)
    samples = [_minute(number) for number in range(MINUTES)]
    with closing(EmbeddedStore(tmp_path / "store.sqlite")) as store:
        store.prepare()
        store.write(route("school-gw", 1, [*samples, _minute(0, "nobody")], before))
    file = tmp_path / "collector.yaml"
    file.write_text(COLLECTOR)
    return file


def _stored(collector: Path) -> Counter[tuple[str, str, str, int, float]]:
    """Every reading that counts, wherever it lies."""
    with closing(EmbeddedStore(collector.parent / "store.sqlite")) as store:
        store.prepare()
        lines = [
            *export.readings(store, 0, 2**43),
            *export.readings(store, 0, 2**43, only=["unregistered"]),
        ]
    return Counter((r.measurement, r.device, r.quantity, r.time_ms, r.value) for r in lines)


def _run(*command: str) -> int:
    try:
        return messnetz.run(command)
    except SystemExit as end:
        return int(str(end.code))


KILLED = """
import os, signal, sys
from cloud import adopt
from cloud.stores.embedded import EmbeddedStore
import messnetz

adopt.MOST_READINGS = {piece}
write, left = EmbeddedStore.write, [{writes}]

def dying(self, points):
    if left[0] == 0 and not {after}:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, points)
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1

EmbeddedStore.write = dying
sys.exit(messnetz.run(["cloud", "adopt", sys.argv[1], "--yes"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_after", [False, True], ids=["before the write", "after the write"])
@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_run_that_is_killed_is_finished_by_the_next(writes: int, is_after: bool, collector: Path) -> None:  # noqa: FBT001 - a case
    """SIGKILL before or after any copy, and between copy and mark: nothing twice, nothing lost."""
    code = KILLED.format(piece=PIECE, writes=writes, after=is_after)
    done = subprocess.run(
        [sys.executable, "-c", code, str(collector)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert _run("cloud", "adopt", str(collector), "--yes") == 0
    readings = [("school-new", reading, _minute(n)) for n in range(MINUTES) for reading in _minute(n).readings]
    expected = Counter(
        ("electricity", device, reading.quantity, sample.measured_at_ms, reading.value)
        for device, reading, sample in readings
    )
    expected.update(("unregistered", "nobody", r.quantity, AT_MS, r.value) for r in _minute(0).readings)
    assert _stored(collector) == expected


def test_the_table_says_what_became_of_each(collector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By gateway and device: how many, from when to when, and why the others stay."""
    assert _run("cloud", "adopt", str(collector), "--yes") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "gateway device readings from (UTC) to what quantities",
        "school-gw nobody 2 2026-11-18T11:06:40 2026-11-18T11:06:40 left: not in the registry active_power, frequency",
        "school-gw school-new 10 2026-11-18T11:06:40 2026-11-18T11:10:40 adopted active_power, frequency",
        "10 readings adopted or in their place already, 2 left",
    ]


def test_a_dry_run_shows_what_waits(collector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And needs nobody to agree."""
    before = _stored(collector)
    assert _run("cloud", "adopt", str(collector), "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "can be adopted" in shown
    assert shown.endswith("10 readings can be adopted, 2 are left; nothing was written\n")
    assert _stored(collector) == before


def test_nobody_to_ask_is_a_wrong_input(collector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2: a script says --yes."""
    before = _stored(collector)
    assert _run("cloud", "adopt", str(collector)) == 2
    assert "--yes to adopt" in capsys.readouterr().err
    assert _stored(collector) == before


@pytest.mark.parametrize(("answer", "adopted"), [("y\n", True), ("n\n", False)])
def test_a_person_is_asked_after_a_look(
    answer: str,
    adopted: bool,  # noqa: FBT001 - a case
    collector: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a terminal."""

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("cloud.cli.sys.stdin", Terminal())
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _text: answer.strip())
    assert _run("cloud", "adopt", str(collector)) == 0
    counted = {measurement for measurement, *_ in _stored(collector)}
    assert ("electricity" in counted) is adopted


def test_nothing_unregistered_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line."""
    _known(tmp_path)
    with closing(EmbeddedStore(tmp_path / "store.sqlite")) as store:
        store.prepare()
    file = tmp_path / "collector.yaml"
    file.write_text(COLLECTOR)
    assert _run("cloud", "adopt", str(file), "--yes") == 0
    assert capsys.readouterr().out == "Nothing is unregistered.\n"


def test_a_store_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And is not made."""
    _known(tmp_path)
    file = tmp_path / "collector.yaml"
    file.write_text(COLLECTOR)
    assert _run("cloud", "adopt", str(file), "--yes") == 1
    assert "no store" in capsys.readouterr().err
    assert not (tmp_path / "store.sqlite").exists()


readings_anywhere = st.builds(
    Reading,
    quantity=st.sampled_from(["active_power", "voltage", "magic"]),
    value=st.sampled_from([0.0, 1.0, 2.0]),
    unit=st.sampled_from(["W", "V"]),
    channel=st.sampled_from(["", "L1"]),
    flags=st.sampled_from([0, 1, 16, 512]),
)
samples_anywhere = st.builds(
    Sample,
    device=st.sampled_from(["school-main", "school-new", "nobody"]),
    measured_at_ms=st.sampled_from([AT_MS, AT_MS + 1]),
    readings=st.lists(readings_anywhere, min_size=1, max_size=5).map(tuple),
)


@pytest.fixture(scope="module")
def known() -> Iterator[tuple[Registry, Registry]]:
    """The registries, once."""
    with tempfile.TemporaryDirectory() as directory:
        yield _known(Path(directory))


@pytest.mark.slow
@hypothesis.settings(max_examples=50)
@given(samples=st.lists(samples_anywhere, min_size=1, max_size=6), piece=st.integers(1, 8))
def test_adopted_is_as_if_it_had_always_been_known(
    known: tuple[Registry, Registry], samples: list[Sample], piece: int
) -> None:
    """Any batch, ties and strangers included: what has a place is what routing with the newer registry gives.

    Apart from a value that a batch says twice of one time: that one is its place's, and counts once.
    """
    before, after = known
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr("cloud.adopt.MOST_READINGS", piece)
        stores = [EmbeddedStore(Path(directory) / name) for name in ("adopted", "direct")]
        for store, registered in zip(stores, (before, after), strict=True):
            store.prepare()
            store.write(route("school-gw", 1, samples, registered))
        tally = adopt(stores[0], after, Choice(0, 2**43), is_dry=False, looked=lambda _readings, _at_ms: None)
        found, expected = (Counter(export.readings(store, 0, 2**43)) for store in stores)
        left = [sum(1 for _ in export.readings(store, 0, 2**43, only=["unregistered"])) for store in stores]
        for store in stores:
            store.close()
    assert found == expected
    assert left[0] == left[1] - tally.total(Kind.PRESENT)


def test_a_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that makes up names fills no memory."""
    monkeypatch.setattr("cloud.outcomes.MOST_ROWS", 3)
    monkeypatch.setattr("cloud.outcomes.MOST_QUANTITIES", 2)
    tally = Tally()
    for number in range(100):
        sample = Sample(f"d{number}", number, (Reading(f"quantity_{number}", 1.0, "W"),))
        tally.add("gw", sample, Outcome(Kind.UNKNOWN))
    rows = list(tally)
    assert [(device, count.readings) for _, device, _, count in rows] == [("...", 97), ("d0", 1), ("d1", 1), ("d2", 1)]
    assert rows[0][3] == Count(3, 99, 97, {"quantity_3", "quantity_4"})


class Screen:
    """A stream that keeps what is written to it."""

    def __init__(self, *, is_terminal: bool) -> None:
        self.text = ""
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Whether somebody looks."""
        return self._is_terminal

    def write(self, text: str) -> int:
        """Keep."""
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""


@pytest.mark.parametrize(("is_terminal", "lines"), [(True, 2), (False, 0)])
def test_progress_is_shown_where_it_takes_long_and_somebody_looks(is_terminal: bool, lines: int) -> None:  # noqa: FBT001 - a case
    """After two seconds, no more than twice a second, and the line is gone at the end."""
    screen, now_s = Screen(is_terminal=is_terminal), [100.0]
    with Progress(screen, lambda: now_s[0]) as progress:  # type: ignore[arg-type] # as much of a stream as it needs
        for moment_s in (101.0, 101.9, 102.0, 102.1, 102.5):
            now_s[0] = moment_s
            progress.looked(1000, AT_MS)
    assert screen.text.count("readings seen") == lines
    assert ("3000 readings seen, up to 2026-11-18T11:06:40Z; 2 s" in screen.text) is is_terminal
    assert screen.text.endswith("\r\x1b[K") is is_terminal
