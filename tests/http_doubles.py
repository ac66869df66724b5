"""Small doubles of HTTP servers, ours and on loopback: one says what it is told to, one plays InfluxDB 2.x.

`import http_doubles` works from any test.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import urllib3

if TYPE_CHECKING:
    from typing import Self

HOST = "127.0.0.1"


def http_answer(status: int, body: str = "", **headers: str) -> bytes:
    """Write a whole HTTP answer; `Retry_After` becomes the header Retry-After."""
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body.encode())}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class ScriptedServer:
    """Answers each request with the next of `answers`, byte for byte, and hangs up; `None` keeps silent.

    `requests` holds what was asked: the head and the body of each request.
    """

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.requests: list[tuple[str, bytes]] = []
        self._closing = threading.Event()
        self._listener = socket.create_server((HOST, 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                self._answer(connection, stream)

    def _answer(self, connection: socket.socket, stream: Any) -> None:  # noqa: ANN401 - what makefile returns
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return
            head += line
        length = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        self.requests.append((head.decode(), stream.read(int(length[0])) if length else b""))
        answer = self.answers.pop(0)
        if answer is None:
            self._closing.wait(30)
        else:
            with contextlib.suppress(OSError):  # who asked may have gone
                connection.sendall(answer)


class Influx2Double(ThreadingHTTPServer):
    """The routes of InfluxDB 2.x that we use, in front of a real InfluxDB 1.x that does the work.

    It stands in where no influxd 2.x is at hand: paths, token and errors are those of 2.x, the rest is the engine's.
    """

    org = "town"
    token = "token-of-the-tests"  # noqa: S105 - opens nothing but a server on loopback
    daemon_threads = True

    def __init__(self, backend: str) -> None:
        self.backend = backend
        super().__init__((HOST, 0), _Influx2Handler)
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(10)


class _Influx2Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Influx2Double

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        if not self._is_authorized():
            return
        path, asked = self._asked()
        if path == "/api/v2/orgs":
            self._say(200, {"orgs": [{"id": "0" * 16, "name": asked["org"]}]})
        elif path == "/api/v2/buckets":
            known = self._query("SHOW DATABASES")["results"][0]["series"][0].get("values", [])
            self._say(200, {"buckets": [self._bucket(name) for (name,) in known if name == asked["name"]]})
        else:
            self._say(404, {"code": "not found", "message": "path not found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self._is_authorized():
            return
        path, asked = self._asked()
        if path == "/query":
            self._forward("/query", asked, body)
        elif path == "/api/v2/buckets":
            name = json.loads(body)["name"]
            self._query(f'CREATE DATABASE "{name}"')
            self._say(201, self._bucket(name))
        elif path == "/api/v2/write":
            self._forward("/write", {"db": asked["bucket"], "precision": asked["precision"]}, body)
        else:
            self._say(404, {"code": "not found", "message": "path not found"})

    def _is_authorized(self) -> bool:
        if self.headers.get("Authorization") == f"Token {self.server.token}":
            return True
        self._say(401, {"code": "unauthorized", "message": "unauthorized access"})
        return False

    def _asked(self) -> tuple[str, dict[str, str]]:
        url = urllib.parse.urlsplit(self.path)
        return url.path, dict(urllib.parse.parse_qsl(url.query))

    @staticmethod
    def _bucket(name: str) -> dict[str, object]:
        return {"id": "1" * 16, "orgID": "0" * 16, "name": name, "retentionRules": []}

    def _query(self, statement: str) -> Any:  # noqa: ANN401 - JSON
        return urllib3.request("POST", f"{self.server.backend}/query", fields={"q": statement}).json()

    def _forward(self, path: str, parameters: dict[str, str], body: bytes) -> None:
        kept = {name: self.headers[name] for name in ("Content-Type", "Content-Encoding") if name in self.headers}
        url = f"{self.server.backend}{path}?{urllib.parse.urlencode(parameters)}"
        answer = urllib3.request("POST", url, body=body, headers=kept)
        if answer.status == 204:
            self._say(204, None)
        elif answer.status == 200:
            self._send(200, answer.data)
        else:
            code = {400: "invalid", 404: "not found"}.get(answer.status, "internal error")
            self._say(answer.status, {"code": code, "message": answer.json()["error"]})

    def _say(self, status: int, body: object) -> None:
        self._send(status, b"" if body is None else json.dumps(body).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
