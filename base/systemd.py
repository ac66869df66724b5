"""What a service tells systemd: that it is ready, reloads, stops, is alive, and how it is (sd_notify(3)).

Datagrams to the socket that `NOTIFY_SOCKET` names; where there is none, nobody listens and nothing is sent. A message
that cannot be delivered is dropped: no service may fail because its supervisor is slow to read.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

SOCKET, WATCHDOG_US, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
MOST_STATUS = 200
"""Characters of a status; it is one line of `systemctl status`."""


class Notifier:
    """The way from one process to the systemd that started it."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = environment.get(SOCKET, "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self.watchdog_s = _watchdog_s(environment)
        """How long systemd waits for a sign of life; None where it does not."""

    def ready(self) -> None:
        """Say that the service works: after its start, and after a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that the service takes a new configuration; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that the service ends."""
        self._send("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Ask for more time to start, reload or stop: so long from now, or until the next call."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def alive(self) -> None:
        """Give a sign of life to the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Say in one line how the service is."""
        self._send(f"STATUS={' '.join(text.split())[:MOST_STATUS]}")

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError as error:
            logger.debug("systemd did not take %r: %s", message, error)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Read what sd_watchdog_enabled(3) reads: the time is ours only where the process is."""
    text = environment.get(WATCHDOG_US, "")
    if not text.isdecimal() or int(text) == 0:
        return None
    process = environment.get(WATCHDOG_PID)
    return int(text) / 1e6 if process in (None, "", str(os.getpid())) else None
