"""What systemd is told, through a real datagram socket."""

from __future__ import annotations

import os
import re
import socket
import time
from typing import TYPE_CHECKING

import pytest

from base.systemd import MOST_STATUS, Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Systemd:
    """The other end: hears datagrams as systemd does."""

    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(0)

    def heard(self) -> list[str]:
        """Return what was said since the last call."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


@pytest.fixture(params=["a path", "an abstract name"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    """A systemd that listens."""
    name = str(tmp_path / "notify") if request.param == "a path" else f"@messnetz-test-{os.getpid()}-{id(tmp_path)}"
    listener = Systemd(name)
    yield listener
    listener.close()


def test_every_word_is_one_datagram(systemd: Systemd) -> None:
    """As sd_notify(3) wants them."""
    notifier = Notifier(systemd.environment)
    notifier.ready()
    notifier.alive()
    notifier.stopping()
    notifier.close()
    assert systemd.heard() == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


def test_more_time_is_asked_for_in_microseconds(systemd: Systemd) -> None:
    """As sd_notify(3) wants it."""
    notifier = Notifier(systemd.environment)
    notifier.extend(2.5)
    notifier.close()
    assert systemd.heard() == ["EXTEND_TIMEOUT_USEC=2500000"]


def test_a_reload_carries_the_monotonic_time(systemd: Systemd) -> None:
    """Type=notify-reload takes the one that is not older than its own request."""
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier = Notifier(systemd.environment)
    notifier.reloading()
    notifier.close()
    (message,) = systemd.heard()
    match = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", message)
    assert match is not None
    assert before_us <= int(match[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_status_is_one_line_and_bounded(systemd: Systemd) -> None:
    """A line feed in an error must not become a word of its own."""
    notifier = Notifier(systemd.environment)
    notifier.status("two\nREADY=1 " + "x" * 1000)
    notifier.close()
    (message,) = systemd.heard()
    assert message.startswith("STATUS=two READY=1 x")
    assert len(message) == len("STATUS=") + MOST_STATUS


def test_a_systemd_that_does_not_read_stops_nobody(systemd: Systemd) -> None:
    """Its queue is full: the rest is dropped, and nothing blocks or fails."""
    notifier = Notifier(systemd.environment)
    for _ in range(10_000):
        notifier.alive()
    assert 0 < len(systemd.heard()) < 10_000
    systemd.close()
    notifier.alive()
    notifier.close()


def test_without_systemd_nothing_is_sent() -> None:
    """On a desk."""
    notifier = Notifier({})
    notifier.ready()
    notifier.status("well")
    notifier.close()
    assert notifier.watchdog_s is None


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_only_where_the_process_is(environment: dict[str, str], watchdog_s: float | None) -> None:
    """sd_watchdog_enabled(3)."""
    assert Notifier(environment).watchdog_s == watchdog_s
