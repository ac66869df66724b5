"""`/metrics` and `/healthz` over HTTP."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

from base.errors import TransientError
from cloud.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from cloud.metrics import Metrics

REQUEST_TIMEOUT_S = 2.0
"""One request at a time: whoever is slower than this keeps the others waiting no longer."""


class Monitor(HTTPServer):
    """Answers `GET /metrics` and `GET /healthz` on a thread of its own, nothing else and nobody for long."""

    def __init__(self, listen: str, metrics: Metrics, reasons: Callable[[], dict[str, str]]) -> None:
        """`listen`: host and port, as `127.0.0.1:9464`; `reasons`: why the collector is not well, empty where it is.

        Raises: TransientError where the address cannot be had.
        """
        self.metrics, self.reasons = metrics, reasons
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

    def handle_error(self, *_: object) -> None:
        """Keep quiet: who asked has gone."""


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
