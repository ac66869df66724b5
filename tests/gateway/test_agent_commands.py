"""The commands that need an agent: what they say, and how they leave."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import messnetz
from base.errors import ConfigError, Position
from gateway import status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

import asyncio


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A gateway's file."""
    path = tmp_path / "gw.yaml"
    path.write_text(f"gateway: school-gw\nsocket: {tmp_path}/agent.sock\n")
    return path


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[list[status.Asked]]:
    """An agent that notes what it is asked, and refuses to reload."""
    heard: list[status.Asked] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def answer(command: status.Asked) -> dict[str, object]:
        heard.append(command)
        if command.command == "reload" and len(heard) == 1:
            raise ConfigError(Position(tmp_path / "gw.yaml", 3, 7), "'x'", "a number")
        return {"gateway": "school-gw", "config": "c0ffee", "batches": len(heard) - 1}

    async def serve() -> None:
        async with status.serve(tmp_path / "agent.sock", answer):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    yield heard
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


def _run(*arguments: str) -> int:
    try:
        return messnetz.run(["gateway", *arguments])
    except SystemExit as end:
        return int(str(end.code))


def test_a_refused_reload_leaves_with_2_and_a_good_one_says_which_is_in_force(
    file: Path, asked: list[status.Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    """As a check of the same file would."""
    assert _run("reload", str(file)) == 2
    assert capsys.readouterr().err == f"{file}:3:7: found 'x'; expected a number\n"
    assert _run("reload", str(file)) == 0
    assert capsys.readouterr().out == "school-gw: configuration c0ffee is in force\n"
    assert [command.command for command in asked] == ["reload", "reload"]


def test_resend_takes_days_and_times_in_utc(
    file: Path, asked: list[status.Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    """And says what it did, also where that was nothing."""
    command = ["resend", str(file), "--from", "2026-11-01", "--to", "2026-11-02T06:00"]
    assert _run(*command) == 0
    assert "has no settled batches from 2026-11-01 00:00:00 to 2026-11-02 06:00:00 (UTC)" in capsys.readouterr().out
    assert _run(*command) == 0
    assert "1 batch, confirmed or measured from 2026-11-01 00:00:00" in capsys.readouterr().out
    assert (asked[0].from_ms, asked[0].to_ms) == (1_793_491_200_000, 1_793_599_200_000)


def test_a_time_that_runs_backwards_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anybody is asked."""
    assert _run("resend", str(file), "--from", "2026-11-02", "--to", "2026-11-01") == 2
    assert "is before --from" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "watch"])
@pytest.mark.usefixtures("asked")
def test_the_agent_of_another_gateway_is_not_taken_for_this_one(
    command: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two files name one socket: whoever asks for the one hears that the other answers."""
    file.write_text(file.read_text().replace("school-gw", "gym-gw"))
    assert _run(command, str(file)) == 1
    said = capsys.readouterr()
    assert "agent.sock: the agent of 'school-gw' answers, not that of 'gym-gw'; name that one's file" in said.err
    assert said.out == ""


@pytest.mark.parametrize("command", [["reload"], ["watch"], ["resend", "--from", "2026-11-01", "--to", "2026-11-02"]])
def test_without_an_agent_they_say_so(command: list[str], file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1: nothing is wrong with the file."""
    assert _run(command[0], str(file), *command[1:]) == 1
    assert "no agent runs; start it with `messnetz gateway run`" in capsys.readouterr().err
