"""Signs of life: given while every part makes progress, and only then."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import pytest

from base.errors import TransientError
from base.systemd import Notifier
from gateway.watchdog import Part, Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WATCHDOG_S = 0.08


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[tuple[Notifier, socket.socket]]:
    """A notifier and the socket at which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(0)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
        notifier = Notifier(environment)
        yield notifier, listener
        notifier.close()


def _pings(listener: socket.socket) -> int:
    """How many signs of life came since the last call."""
    count = 0
    while True:
        try:
            count += listener.recv(100) == b"WATCHDOG=1"
        except BlockingIOError:
            return count


async def _alive() -> None:
    """A disk that comes back at once."""


def _well() -> list[Part]:
    return [Part("the sealer", time.monotonic() + 60)]


async def _run(watchdog: Watchdog, seconds: float) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await watchdog.run(stop)


def test_while_all_is_well_signs_of_life_come(heard: tuple[Notifier, socket.socket]) -> None:
    """Several in the time that systemd waits."""
    notifier, listener = heard
    asyncio.run(_run(Watchdog(notifier, _well, _alive), 3 * WATCHDOG_S))
    assert _pings(listener) >= 3


def test_a_disk_that_hangs_ends_them(heard: tuple[Notifier, socket.socket], caplog: pytest.LogCaptureFixture) -> None:
    """And the log says why, once."""
    notifier, listener = heard

    async def hang() -> None:
        await asyncio.sleep(3600)

    asyncio.run(_run(Watchdog(notifier, _well, hang, hung_s=WATCHDOG_S), 10 * WATCHDOG_S))
    pings = _pings(listener)
    assert 1 <= pings <= 10, "some before it counts as hanging, none after"
    assert [record.message for record in caplog.records] == [
        "no sign of life from the disk: systemd will start the agent anew"
    ]


def test_a_disk_that_is_long_at_work_does_not(heard: tuple[Notifier, socket.socket]) -> None:
    """A rescue of a large spool takes minutes: started anew, the agent would begin it again, for ever."""
    notifier, listener = heard

    async def work() -> None:
        await asyncio.sleep(3600)

    asyncio.run(_run(Watchdog(notifier, _well, work, time.monotonic, hung_s=WATCHDOG_S), 8 * WATCHDOG_S))
    assert _pings(listener) >= 8


def test_a_disk_that_refuses_does_not(heard: tuple[Notifier, socket.socket]) -> None:
    """A restart would not mend it, and the readings in memory would be gone."""
    notifier, listener = heard

    async def refuse() -> None:
        raise TransientError("disk full")

    asyncio.run(_run(Watchdog(notifier, _well, refuse, hung_s=WATCHDOG_S / 10), 4 * WATCHDOG_S))
    assert _pings(listener) >= 4


def test_a_part_that_hangs_is_named(heard: tuple[Notifier, socket.socket]) -> None:
    """It has until what it promised, and a while."""
    now_s = time.monotonic()
    parts = [Part("the sender", now_s), Part("bus cellar", now_s - 100)]

    async def play() -> str:
        return Watchdog(heard[0], lambda: parts, _alive, hung_s=60).hanging()

    assert asyncio.run(play()) == "bus cellar"


def test_a_loop_that_hangs_gives_none(heard: tuple[Notifier, socket.socket]) -> None:
    """By itself."""
    notifier, listener = heard

    async def play() -> int:
        stop = asyncio.Event()
        task = asyncio.create_task(Watchdog(notifier, _well, _alive).run(stop))
        await asyncio.sleep(WATCHDOG_S)
        _pings(listener)
        time.sleep(4 * WATCHDOG_S)  # noqa: ASYNC251 - a fault of ours, on purpose
        pings = _pings(listener)
        stop.set()
        await task
        return pings

    assert asyncio.run(play()) == 0


def test_where_systemd_does_not_wait_nothing_runs() -> None:
    """On a desk."""
    asyncio.run(Watchdog(Notifier({}), _well, _alive).run(asyncio.Event()))
