"""`/metrics` and `/healthz` over HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any

from base.errors import TransientError
from cloud.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from cloud.metrics import Metrics

REQUEST_TIMEOUT_S = 2.0
"""Of a whole request, however many bytes of it have come: whoever is slower is hung up on."""
MOST_AT_ONCE = 8
"""Requests, each on a thread; for one more the oldest is hung up on, since a sound one takes milliseconds."""
ROOM_TIMEOUT_S = 1.0
"""Until the thread of a request that was hung up on has ended."""


class Monitor(ThreadingMixIn, HTTPServer):
    """Answers `GET /metrics` and `GET /healthz` on threads of its own, nothing else and nobody for long."""

    daemon_threads = True
    request_queue_size = 64  # with the 5 of socketserver a burst costs its last a second, till its SYN comes again

    def __init__(self, listen: str, metrics: Metrics, reasons: Callable[[], dict[str, str]]) -> None:
        """`listen`: host and port, as `127.0.0.1:9464`; `reasons`: why the collector is not well, empty where it is.

        Raises: TransientError where the address cannot be had.
        """
        self.metrics, self.reasons = metrics, reasons
        self._room = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._lock = threading.Lock()
        self._begun_s: dict[socket.socket, float] = {}  # in order of time
        host, _, port = listen.rpartition(":")
        try:
            super().__init__((host, int(port)), _Handler)
        except OSError as error:
            raise TransientError(f"{listen}: cannot listen there ({error.strerror or error})") from error
        self._thread = threading.Thread(target=self.serve_forever, name="monitor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(REQUEST_TIMEOUT_S)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's signature
        """Answer on another thread, once there is room for one."""
        if not self._room.acquire(blocking=False):
            self._hang_up(1)
            if not self._room.acquire(timeout=ROOM_TIMEOUT_S):
                self.shutdown_request(request)
                return
        with self._lock:
            self._begun_s[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._leave(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Answer, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave(request)

    def service_actions(self) -> None:
        """Hang up on those whose time is over; called twice a second."""
        latest_s = time.monotonic() - REQUEST_TIMEOUT_S
        with self._lock:
            overdue = sum(begun_s <= latest_s for begun_s in self._begun_s.values())
        self._hang_up(overdue)

    def handle_error(self, *_: object) -> None:
        """Keep quiet: who asked has gone."""

    def _hang_up(self, number: int) -> None:
        """End the connections of so many requests, the oldest; their threads notice."""
        with self._lock:
            for request in list(self._begun_s)[:number]:
                with suppress(OSError):  # it has ended by itself
                    request.shutdown(socket.SHUT_RDWR)

    def _leave(self, request: socket.socket) -> None:
        with self._lock:
            del self._begun_s[request]
        self._room.release()


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_TIMEOUT_S
    server: Monitor
    server_version = "messnetz"
    sys_version = ""

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._say(200, CONTENT_TYPE, self.server.metrics.text())
        elif path == "/healthz":
            reasons = self.server.reasons()
            body = {"status": "failing" if reasons else "ok", "reasons": reasons}
            self._say(503 if reasons else 200, "application/json", json.dumps(body) + "\n")
        else:
            self._say(404, "text/plain; charset=utf-8", "only /metrics and /healthz\n")

    def _say(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
