"""The processes of a demo: started apart from the terminal, their words in a file, ended in every case."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from base.errors import MessnetzError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from types import TracebackType

MESSNETZ = (sys.executable, "-m", "messnetz")
KILL_AFTER_S = 5.0
SHOWN_LINES = 12
LINE_BYTES = 1 << 16
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class DemoError(MessnetzError):
    """The demo cannot go on; says what failed, with the last words of the process that did."""


class UnstartedError(DemoError):
    """A process was ended before it had come so far as to end in order."""


def _end_with_parent() -> None:
    """Have the kernel end this process with the demo, even where the demo is killed."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """One process, with its output in `<directory>/<name>.log`. Ends it on leaving, gently first."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = tuple(command)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start it.

        Raises: DemoError where the program cannot be started.
        """
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(DemoError):
            await self.stop(KILL_AFTER_S)

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def starved_s(self) -> float:
        """For how long it has been ready to run in all, and no processor was free; 0 where the kernel does not say.

        See the kernel's Documentation/scheduler/sched-stats.rst.
        """
        if not self.is_running or self._process is None:
            return 0.0
        try:
            _, waited_ns, _ = Path(f"/proc/{self._process.pid}/schedstat").read_text(encoding="ascii").split()
        except (OSError, ValueError):
            return 0.0
        return int(waited_ns) / 1e9

    async def wait(self) -> int:
        """Wait until it ends; returns its exit code."""
        assert self._process is not None  # noqa: S101 - entered
        return await self._process.wait()

    async def start(self) -> None:
        """Start it, also again after it has ended.

        Raises: DemoError where it runs already, or the program cannot be started.
        """
        if self.is_running:
            raise DemoError(f"the {self.name} runs already")
        with self.log.open("ab") as log:
            self._process = await _spawn(self._command, stdout=log, stderr=log)

    async def kill(self) -> None:
        """End it as a power cut would (SIGKILL), and wait until it is gone. Harmless where it does not run."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def pause(self) -> None:
        """Hold it (SIGSTOP): it lives, keeps its connections, and does nothing.

        Raises: DemoError where it does not run.
        """
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused one go on (SIGCONT).

        Raises: DemoError where it does not run.
        """
        self._signal(signal.SIGCONT)

    async def restart(self, timeout_s: float) -> None:
        """Stop it in order and start it again.

        Raises: DemoError as `stop` and `start`.
        """
        await self.stop(timeout_s)
        await self.start()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.returncode is not None:
            raise DemoError(f"the {self.name} does not run")
        self._process.send_signal(number)

    async def stop(self, timeout_s: float) -> None:
        """Ask it to end, wait so long, then kill it.

        Raises: UnstartedError where it did not listen to SIGTERM yet; DemoError where it had to be killed or ended
        with another code than 0.
        """
        if self._process is None:
            return
        code = await _end(self._process, timeout_s)
        if code is None:
            raise DemoError(f"the {self.name} did not end within {timeout_s:g} s of SIGTERM{self.last_words()}")
        if code == -signal.SIGTERM:
            raise UnstartedError(f"the {self.name} was ended before it had started properly{self.last_words()}")
        if code != 0:
            raise DemoError(f"the {self.name} ended with exit code {code}{self.last_words()}")

    def died(self) -> DemoError:
        """Build the error for a process that ended while it was needed."""
        code = self._process.returncode if self._process else None
        return DemoError(f"the {self.name} died (exit code {code}){self.last_words()}")

    def last_words(self) -> str:
        """The last lines of its log, on lines of their own; empty where it said nothing."""
        try:
            return _tail(self.log.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return ""


async def run(command: Sequence[str], timeout_s: float) -> bytes:
    """Run a command of ours to its end; returns its output.

    Raises: DemoError where it fails or takes longer, with what it said.
    """
    process = await _spawn((*MESSNETZ, *command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    name = " ".join(command[:2])
    try:
        async with asyncio.timeout(timeout_s):  # not `wait_for`: Python 3.11's may lose a cancellation
            output, errors = await process.communicate()
    except TimeoutError as error:
        raise DemoError(f"`messnetz {name}` took longer than {timeout_s:g} s") from error
    finally:
        await _end(process, KILL_AFTER_S)
    if process.returncode != 0:
        raise DemoError(f"`messnetz {name}` failed{_tail((errors or output).decode(errors='replace'))}")
    return output


async def lines(command: Sequence[str], log: Path) -> AsyncGenerator[bytes, None]:
    """Start a command of ours and yield its lines as they come; ends it when the reader leaves.

    Raises: DemoError where the command ends with another code than 0.
    """
    with log.open("ab") as errors:
        process = await _spawn((*MESSNETZ, *command), stdout=asyncio.subprocess.PIPE, stderr=errors)
    assert process.stdout is not None  # noqa: S101 - asked for
    try:
        async for line in process.stdout:
            yield line
        if code := await process.wait():
            raise DemoError(f"`messnetz {' '.join(command[:2])}` ended with exit code {code}")
    finally:
        await _end(process, KILL_AFTER_S)


async def _spawn(
    command: Sequence[str], stdout: int | IO[bytes], stderr: int | IO[bytes]
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            limit=LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for the demo, which ends its processes in order
            preexec_fn=_end_with_parent,
        )
    except OSError as error:
        raise DemoError(f"{command[0]} cannot be started: {error.strerror}") from error


async def _end(process: asyncio.subprocess.Process, timeout_s: float) -> int | None:
    """End a process: SIGTERM, then after `timeout_s` SIGKILL. Returns its exit code; None where it was killed."""
    # asyncio calls a process ended only when its pipes are empty, too
    pipes = [asyncio.create_task(_drain(pipe)) for pipe in (process.stdout, process.stderr) if pipe]
    try:
        with suppress(ProcessLookupError):
            process.terminate()
            process.send_signal(signal.SIGCONT)  # one that is paused would not hear the other
        async with asyncio.timeout(timeout_s):
            return await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return None
    finally:
        for pipe in pipes:
            pipe.cancel()


async def _drain(pipe: asyncio.StreamReader) -> None:
    while await pipe.read(LINE_BYTES):
        pass


def _tail(text: str) -> str:
    return "".join(f"\n    {line}" for line in text.strip().splitlines()[-SHOWN_LINES:])
