"""Clocks that are wrong, on real processes: every reading is stored once, at the time at which it was measured."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway import timekeeper
from wire.readings import Flag

from chain import Chain

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HOUR_MS = 3_600_000
UNSYNCED, ESTIMATED = Flag.CLOCK_UNSYNCED.value, Flag.TIME_ESTIMATED.value
BUSY = {"clock": "kernel", "spool": {"seal_interval_s": 0.3}, "uplink": {"confirm_timeout_s": 2.0}}


class OddChain(Chain):
    """The chain, with an agent on a machine whose clocks the test has in its hands."""

    def __init__(self, directory: Path, port: int, **clocks: Any) -> None:  # noqa: ANN401 - as `clocks`
        super().__init__(directory, port, {"embedded": {"path": str(directory / "store.sqlite")}}, BUSY)
        self._clocks = directory / "clocks.json"
        self._said: dict[str, Any] = {"boot": "boot-1", "ahead_ms": 0, "began_ms": 0, "synchronised": False}
        self.say(began_ms=_now_ms() - 60_000, **clocks)
        script = str(Path(__file__).parent.parent / "odd_agent.py")
        command = [sys.executable, script, str(self.files.gateway), str(self._clocks)]
        self.agent._command = lambda: command  # type: ignore[method-assign]

    def say(self, **clocks: Any) -> None:  # noqa: ANN401 - whatever a clock says
        """Let the machine's clocks say something else."""
        self._said |= clocks
        new = self._clocks.with_suffix(".new")
        new.write_text(json.dumps(self._said))
        new.rename(self._clocks)

    def sleep(self, duration_ms: int) -> None:
        """Let the machine, which believes itself in 1970, have run for so much longer."""
        self.say(began_ms=self._said["began_ms"] - duration_ms)

    def reboot(self, boot: str) -> None:
        """Start the machine and its agent again."""
        self.agent.kill()
        self.say(boot=boot, began_ms=_now_ms() - 5_000, synchronised=False, ahead_ms=-_now_ms())
        self.agent.start()

    def count(self) -> dict[int, int]:
        """Count that what was sealed is stored, once, at its time; returns how many readings have which flags."""
        self.finish()
        sealed, stored = self.sealed(), self.stored()
        assert sealed - stored == {}, "sealed and not stored"
        assert stored - sealed == {}, "stored twice, or never sealed"
        account = self.account()
        assert (account.duplicates, account.wrong, account.wrong_time) == (0, 0, 0)
        flags = [known.flags & (UNSYNCED | ESTIMATED) for known in sealed]
        return {each: flags.count(each) for each in set(flags)}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def chain(tmp_path: Path, make_mosquitto: Callable[[], Mosquitto], monkeypatch: pytest.MonkeyPatch) -> OddChain:
    """A chain whose machine starts in 1970."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    return OddChain(tmp_path, make_mosquitto().port, ahead_ms=-_now_ms())


def test_what_was_read_in_1970_is_placed_when_the_kernel_says_the_time(chain: OddChain) -> None:
    """Nothing is sent before; a kill -9 before and right after changes nothing; no reading has a flag."""
    with chain:
        chain.let_seal(3)
        status = chain.status()
        assert (str(status["state"]), status["confirmed_batches"]) == ("no_time", 0)
        chain.agent.kill()
        chain.agent.start()
        chain.let_seal(3)
        chain.say(ahead_ms=0, synchronised=True)
        chain.until(lambda status: status["time"]["origin"] == "kernel", "the kernel's time")  # type: ignore[index]
        chain.agent.kill()
        chain.say(synchronised=False)
        chain.agent.start()
        assert str(chain.status()["state"]) == "online", "the boot has its time"
        chain.let_confirm(3)
        assert set(chain.count()) == {0}


def test_a_machine_without_ntp_takes_the_collectors_time(chain: OddChain) -> None:
    """After ten minutes; what was read before and after carries flag 16."""
    with chain:
        chain.let_seal(2)
        assert str(chain.status()["state"]) == "no_time"
        chain.sleep(timekeeper.PATIENCE_MS)
        chain.until(lambda status: status["time"]["origin"] == "collector", "the collector's time")  # type: ignore[index]
        chain.until(lambda status: str(status["state"]) == "online", "the status")
        chain.let_confirm(3)
        chain.agent.stop()
        assert all(known.flags & UNSYNCED for known in chain.sealed())


def test_boots_that_never_learn_the_time_are_placed_and_marked(chain: OddChain) -> None:
    """Two in a row, after one that knew it: flag 8, in their order, and nothing is lost."""
    with chain:
        chain.say(ahead_ms=0, synchronised=True)
        chain.let_confirm(2)
        before = chain.status()["confirmed_batches"]
        for boot in ("boot-2", "boot-3"):
            chain.reboot(boot)
            chain.let_seal(3)
        chain.reboot("boot-4")
        chain.until(lambda status: status["confirmed_batches"] >= before + 6, "two boots placed and confirmed")
        chain.say(ahead_ms=0, synchronised=True)
        chain.let_confirm(2)
        flags = chain.count()
        assert set(flags) == {0, ESTIMATED}
        assert flags[ESTIMATED] > 20


@pytest.mark.parametrize("step_ms", [-HOUR_MS, HOUR_MS])
def test_a_step_of_the_wall_clock_moves_no_reading(step_ms: int, chain: OddChain) -> None:
    """Not by hand, where readings say that they are in doubt; and NTP's puts an end to that."""
    with chain:
        chain.say(ahead_ms=0, synchronised=True)
        chain.let_confirm(2)
        chain.say(ahead_ms=step_ms, synchronised=False)
        chain.until(lambda status: status["time"]["is_doubtful"], "doubt")  # type: ignore[index]
        chain.let_confirm(3)
        chain.agent.kill()
        chain.agent.start()
        chain.let_confirm(2)
        chain.say(ahead_ms=0, synchronised=True)
        chain.until(lambda status: not status["time"]["is_doubtful"], "agreement")  # type: ignore[index]
        chain.let_confirm(2)
        assert set(chain.count()) == {0, UNSYNCED}
