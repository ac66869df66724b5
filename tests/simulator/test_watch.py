"""The watchers read what the commands write, and are patient with a beginning."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from simulator import watch
from simulator.account import Stored
from simulator.processes import DemoError
from simulator.town import DEMO
from simulator.town_files import TownFiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STATUS = (
    b'{"gateway":"demo-gw","running":true,"state":"online","connected":true,"stream":"s","sealed_readings":62,'
    b'"confirmed_readings":31,"sealed_batches":2,"confirmed_batches":1,"pending_readings":0,"rejected_readings":0}\n'
)
READING = (
    b'{"measurement":"electricity","site":"school","gateway":"demo-gw","device":"school-main","quantity":"voltage",'
    b'"channel":"L1","time_ms":1795345200000,"value":230.125,"flags":0}\n'
)


def test_a_line_of_status_is_read() -> None:
    """As `gateway status --json` writes it."""
    status = watch.decode_status(STATUS)
    assert (status.sealed_readings, status.confirmed_readings, status.connected) == (62, 31, True)


def test_a_spool_that_cannot_be_read_is_no_empty_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever waits until nothing waits any more goes on waiting."""

    async def run(_command: tuple[str, ...], _timeout_s: float) -> bytes:
        return b'{"gateway":"demo-gw","running":true,"spool_error":"spool.sqlite: disk I/O error"}\n'

    monkeypatch.setattr(watch, "run", run)
    with pytest.raises(DemoError, match=r"demo-gw: spool\.sqlite: disk I/O error"):
        asyncio.run(watch.status(TownFiles(tmp_path)))


def test_a_line_of_the_export_is_read() -> None:
    """As `cloud export --json` writes it; the name is that of the wire."""
    reading = watch.decode_reading(READING)
    assert (reading.device, reading.name, reading.time_ms, reading.value) == (
        "school-main",
        "voltage/L1",
        1795345200000,
        230.125,
    )


def test_what_gateways_tell_of_themselves_is_counted_as_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They count it as confirmed, so the two numbers can be compared; how many those are is said, too."""
    meter, own = watch.decode_reading(READING), Stored("gateway", "demo-gw", "load", "", 1795345200000, 0.5)

    async def store(_files: object, _witness: object, take: Callable[[Stored], object], _log: Path) -> None:
        for reading in (meter, own, meter):
            take(reading)

    monkeypatch.setattr(watch, "read_store", store)
    files = TownFiles(tmp_path, DEMO)
    assert asyncio.run(watch.count(files, DEMO.witness(0), tmp_path / "log")) == (3, 1)


@pytest.mark.parametrize("line", [b"", b"Traceback", b'{"sealed_readings":"many"}'])
def test_a_line_that_is_no_status_is_an_error(line: bytes) -> None:
    """And names the command that wrote it."""
    with pytest.raises(DemoError, match="`messnetz gateway status` wrote"):
        watch.decode_status(line)


@pytest.mark.parametrize("line", [b"{}", READING.replace(b"230.125", b"null")])
def test_a_line_that_is_no_reading_is_an_error(line: bytes) -> None:
    """A reading without a value among them."""
    with pytest.raises(DemoError, match="`messnetz cloud export` wrote"):
        watch.decode_reading(line)


def failing(times: int) -> list[int]:
    """Let a watcher ask something that fails so often; returns how often it was asked."""
    asked: list[int] = []

    async def ask() -> str:
        asked.append(1)
        if len(asked) <= times:
            raise DemoError("not up yet")
        return "up"

    assert asyncio.run(watch.patiently(ask)) == "up"
    return asked


def test_what_is_only_coming_up_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool or a store may not be there in the first second."""
    monkeypatch.setattr(watch, "PAUSE_S", 0)
    assert len(failing(times=watch.TRIES - 1)) == watch.TRIES


def test_what_fails_again_and_again_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience has a bound."""
    monkeypatch.setattr(watch, "PAUSE_S", 0)
    with pytest.raises(DemoError, match="not up yet"):
        failing(times=watch.TRIES)
