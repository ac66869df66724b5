"""Processes end with whoever started them, and their last words reach a person."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from simulator import processes
from simulator.processes import DemoError, Process, UnstartedError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

SAYS_READY = "import sys, time; print('ready', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
DEADLINE_S = 20.0


def python(code: str) -> tuple[str, ...]:
    """A command that runs some Python."""
    return (sys.executable, "-c", code)


async def until_ready(process: Process) -> None:
    """Wait until a process has said that it is ready."""
    async with asyncio.timeout(DEADLINE_S):
        while "ready" not in process.last_words():  # noqa: ASYNC110 - another process tells no event of ours
            await asyncio.sleep(0.01)


async def fail_within(process: Process) -> None:
    """Meet an error while a process runs."""
    async with process:
        await until_ready(process)
        raise KeyError("an error in between")


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet reaped does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123 - no file in the usual sense
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_that_is_left_is_ended(tmp_path: Path) -> None:
    """On errors, too."""

    async def story() -> None:
        process = Process("sleeper", python(SAYS_READY), tmp_path / "log")
        with pytest.raises(KeyError, match="an error in between"):
            await fail_within(process)
        assert not process.is_running

    asyncio.run(story())


def test_a_process_that_does_not_end_is_killed_and_named(tmp_path: Path) -> None:
    """With what it said last."""

    async def story() -> None:
        async with Process("agent", python(DEAF), tmp_path / "log") as process:
            await until_ready(process)
            with pytest.raises(DemoError, match=r"the agent did not end within 0\.1 s of SIGTERM\n    ready"):
                await process.stop(0.1)
            assert not process.is_running

    asyncio.run(story())


def test_a_process_that_ends_badly_is_named(tmp_path: Path) -> None:
    """With its exit code and its last words."""

    async def story() -> None:
        async with Process(
            "collector", python("import sys; print('no disk'); sys.exit(3)"), tmp_path / "log"
        ) as process:
            await process.wait()
            assert str(process.died()) == "the collector died (exit code 3)\n    no disk"
            with pytest.raises(DemoError, match="ended with exit code 3"):
                await process.stop(1)

    asyncio.run(story())


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """As a sentence."""

    async def story() -> None:
        with pytest.raises(DemoError, match="cannot be started: No such file"):
            async with Process("broker", (str(tmp_path / "none"),), tmp_path / "log"):
                pass

    asyncio.run(story())


def test_processes_end_even_where_the_demo_is_killed(tmp_path: Path) -> None:
    """The kernel ends them: a demo that was killed leaves no broker behind."""
    parent = f"""
import asyncio, sys
from pathlib import Path
from simulator.processes import Process
async def main():
    async with Process("child", (sys.executable, "-c", {SAYS_READY!r}), Path({str(tmp_path / "log")!r})) as child:
        while "ready" not in child.last_words():
            await asyncio.sleep(0.01)
        print(child._process.pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""
    with subprocess.Popen(python(parent), stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        pid = int(demo.stdout.readline())
        assert is_alive(pid)
        os.kill(demo.pid, signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE_S
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(pid)


def test_a_command_that_fails_shows_what_it_said() -> None:
    """The lines of ours that tell what is wrong."""
    with pytest.raises(DemoError, match=r"`messnetz town check` failed\n(.*\n)*.*nowhere"):
        asyncio.run(processes.run(("town", "check", "/nowhere"), DEADLINE_S))


def test_a_command_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a sentence that says how long it was waited for."""
    monkeypatch.setattr(processes, "MESSNETZ", python(SAYS_READY))
    with pytest.raises(DemoError, match=r"took longer than 0\.5 s"):
        asyncio.run(processes.run(("town", "check"), 0.5))


def test_a_reader_may_leave_a_command_that_has_much_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends although its pipe is full."""
    monkeypatch.setattr(processes, "MESSNETZ", python("while True: print('x' * 1000)"))

    async def story() -> None:
        async with asyncio.timeout(DEADLINE_S), aclosing(processes.lines(("export",), tmp_path / "log")) as lines:
            async for line in lines:
                assert line == b"x" * 1000 + b"\n"
                break

    asyncio.run(story())


def test_a_command_that_fails_while_it_is_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the lines that it wrote."""
    monkeypatch.setattr(processes, "MESSNETZ", python("print('one'); raise SystemExit(1)"))

    async def story() -> None:
        async with aclosing(processes.lines(("cloud", "export"), tmp_path / "log")) as lines:
            assert await anext(lines) == b"one\n"
            with pytest.raises(DemoError, match="`messnetz cloud export` ended with exit code 1"):
                await anext(lines)

    asyncio.run(story())


def test_a_process_that_did_not_listen_to_sigterm_yet_is_told_apart(tmp_path: Path) -> None:
    """It had not started properly: no fault of its own."""

    async def story() -> None:
        async with Process("agent", python(SAYS_READY), tmp_path / "log") as process:
            await until_ready(process)
            with pytest.raises(UnstartedError, match="the agent was ended before it had started properly\n    ready"):
                await process.stop(DEADLINE_S)

    asyncio.run(story())


def state_of(process: Process) -> str:
    """The kernel's letter for what a process does: T where it is stopped."""
    assert process._process is not None
    with open(f"/proc/{process._process.pid}/stat", encoding="ascii") as stat:  # noqa: PTH123 - no file in the usual sense
        return stat.read().rpartition(")")[2].split()[0]


async def until_state(process: Process, *, is_held: bool) -> None:
    """Wait until the kernel has done what the signal says; that may take a moment."""
    async with asyncio.timeout(DEADLINE_S):
        while (state_of(process) == "T") != is_held:  # noqa: ASYNC110 - the kernel sends no event
            await asyncio.sleep(0.01)


def test_a_paused_process_goes_on_and_ends(tmp_path: Path) -> None:
    """SIGSTOP holds it, SIGCONT lets it go on; one that is paused ends as gently as any other."""

    async def story() -> None:
        async with Process("collector", python(SAYS_READY), tmp_path / "log") as process:
            await until_ready(process)
            process.pause()
            await until_state(process, is_held=True)
            process.resume()
            await until_state(process, is_held=False)
            process.pause()
            with pytest.raises(UnstartedError):  # by SIGTERM, not by the kill that follows a time-out
                await process.stop(DEADLINE_S)

    asyncio.run(story())


def test_a_killed_process_is_gone_at_once_and_can_be_started_again(tmp_path: Path) -> None:
    """As a machine after a power cut; what it says goes to the same log."""

    async def story() -> None:
        async with Process("agent", python(SAYS_READY), tmp_path / "log") as process:
            await until_ready(process)
            await process.kill()
            assert not process.is_running
            with pytest.raises(DemoError, match="the agent does not run"):
                process.pause()
            await process.start()
            with pytest.raises(DemoError, match="the agent runs already"):
                await process.start()
            async with asyncio.timeout(DEADLINE_S):
                while process.last_words().count("ready") < 2:  # noqa: ASYNC110 - another process tells no event
                    await asyncio.sleep(0.01)

    asyncio.run(story())


def test_a_restart_is_a_new_process(tmp_path: Path) -> None:
    """It ends in order first."""
    polite = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); {SAYS_READY}"

    async def story() -> None:
        async with Process("broker", python(polite), tmp_path / "log") as process:
            await until_ready(process)
            assert process._process is not None
            before = process._process.pid
            await process.restart(DEADLINE_S)
            assert process.is_running
            assert process._process.pid != before

    asyncio.run(story())
