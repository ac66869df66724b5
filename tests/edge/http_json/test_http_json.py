"""Asking a server for JSON: a real one on loopback, which a test scripts answer by answer."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from base.errors import MessnetzError, PermanentError, TransientError
from edge.http_json import bus as module
from edge.http_json import client
from edge.http_json.bus import HttpBus
from edge.http_json.config import Server
from edge.http_json.driver import HttpPlan, HttpTarget
from edge.interface import NoAnswerError, ParkedError
from edge.json_source import profile as profiles
from edge.json_source.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from edge.interface import Measured

pytestmark = pytest.mark.slow

AIR = {"sensordatavalues": [{"value_type": "SDS_P1", "value": "26.83"}]}
PATIENCE_S = 20.0
HOUR = "2025-11-24T16:00:00Z"


def counters(end: str = HOUR, **cars: int) -> bytes:
    """The message of counters."""
    return json.dumps(
        {"end": end, "counters": [{"id": name, "in": {"car": count}} for name, count in cars.items()]}
    ).encode()


class Scripted:
    """A server that answers as the test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: say(handler, AIR)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                """Keep silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


def say(
    handler: BaseHTTPRequestHandler, body: bytes | Mapping[str, object] = b"", status: int = 200, **headers: str
) -> None:
    """Answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if status != 304:
        handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    if status != 304:
        handler.wfile.write(data)


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A scripted server."""
    scripted = Scripted()
    yield scripted
    scripted.close()


def target(
    device: str, profile: str = "sensor-community/airrohr", interval_s: float = 60.0, **parts: str
) -> HttpTarget:
    """A device that is asked for."""
    loaded = profiles.load(profile)
    known = {name: parts.get(name, part.default or "x") for name, part in loaded.json.parts.items()}
    path = profiles.filled(loaded.json.path or "", known)
    return HttpTarget(device, interval_s, path, (profile, tuple(known)), Model(loaded, {}, known))


def bus_of(port: int, *targets: HttpTarget, timeout_s: float = 5.0, **more: Any) -> HttpBus:  # noqa: ANN401 - as Server has it
    """An open bus."""
    server = Server("http", "127.0.0.1", port, "/base", timeout_s)._replace(**more)
    return HttpBus(HttpPlan("box", server, targets or (target("air"),)))


def read(bus: HttpBus, device: str = "air") -> Measured:
    """Read a device."""
    return asyncio.run(bus.read(device))


def refused(bus: HttpBus, device: str = "air") -> MessnetzError:
    """Read a device, and return why that failed."""
    with pytest.raises(MessnetzError) as caught:
        read(bus, device)
    assert "Traceback" not in str(caught.value)
    return caught.value


def test_an_answer_becomes_readings(server: Scripted) -> None:
    """The base of the URL stands before the profile's path; without a time of its own it is now."""
    measured = read(bus_of(server.port))
    assert [(r.quantity, r.value, r.unit) for r in measured.readings] == [("pm10", 26.83, "ug/m3")]
    assert measured.at_ms is None
    assert server.asked[0][0] == "/base/data.json"
    assert "authorization" not in server.asked[0][1]


def test_one_request_serves_the_devices_of_one_path(server: Scripted) -> None:
    """Two counters of one answer; a device that asks again gets a new one."""
    server.answer = lambda handler: say(handler, counters(north=3, south=4))
    north = target("north", "generic/traffic-json", counter="north")
    south = target("south", "generic/traffic-json", counter="south")
    bus = bus_of(server.port, north, south)
    assert [read(bus, name).readings[0].value for name in ("north", "south")] == [3, 4]
    assert len(server.asked) == 1
    assert isinstance(refused(bus, "north"), ParkedError)
    assert len(server.asked) == 2


def test_the_same_time_is_no_news(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A count is taken once, however often it is asked for; a source that stands still is said to."""
    server.answer = lambda handler: say(handler, counters(north=3))
    bus = bus_of(server.port, target("north", "generic/traffic-json", counter="north"))
    assert read(bus, "north").at_ms == 1_764_000_000_000
    assert isinstance(refused(bus, "north"), ParkedError)
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 151)
    error = refused(bus, "north")
    assert isinstance(error, NoAnswerError)
    assert "nothing new since 2025-11-24 16:00:00 UTC" in str(error)
    server.answer = lambda handler: say(handler, counters("2025-11-24T16:05:00Z", north=5))
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 1000)
    assert read(bus, "north").at_ms == 1_764_000_300_000


def test_what_has_not_changed_is_not_sent_again(server: Scripted) -> None:
    """ETag and Last-Modified; without a time of its own an unchanged value is one of now."""
    changed = "Mon, 24 Nov 2025 16:00:00 GMT"
    server.answer = lambda handler: say(handler, AIR, ETag='"1"', Last_Modified=changed)
    bus = bus_of(server.port)
    first = read(bus)
    server.answer = lambda handler: say(handler, status=304)
    second, third = read(bus), read(bus)
    assert first.readings == second.readings == third.readings
    assert second.at_s > first.at_s
    for _, headers in server.asked[1:]:
        assert (headers["if-none-match"], headers["if-modified-since"]) == ('"1"', changed)


def test_secrets_come_from_files_that_nobody_else_reads(server: Scripted, tmp_path: Path) -> None:
    """Read with each request, so that one may be renewed; an open file is an error with its remedy."""
    file = tmp_path / "token"
    file.write_text("abc\n")
    file.chmod(0o644)
    bus = bus_of(server.port, user="me", secrets=(("password", str(file)), ("X-Api-Key:", str(file))))
    assert "chmod 600" in str(refused(bus))
    assert server.asked == []
    file.chmod(0o600)
    read(bus)
    headers = server.asked[0][1]
    assert headers["authorization"] == "Basic " + base64.b64encode(b"me:abc").decode()
    assert headers["x-api-key"] == "abc"
    read(bus_of(server.port, secrets=(("bearer", str(file)),)))
    assert server.asked[1][1]["authorization"] == "Bearer abc"


@pytest.mark.parametrize("content", ["secret\nsecond", "secret\rsecond", "secret\0", "secret€"])
@pytest.mark.parametrize("name", ["bearer", "X-Api-Key:"])
def test_a_secret_that_no_header_can_carry_is_not_told(
    server: Scripted, tmp_path: Path, content: str, name: str
) -> None:
    """A line too many in its file: the error names the file, and no word of what stands in it."""
    file = tmp_path / "token"
    file.write_text(content, newline="")
    file.chmod(0o600)
    error = str(refused(bus_of(server.port, secrets=((name, str(file)),))))
    assert f"{file}:1" in error
    assert "the secret alone" in error
    assert not any(word in error for word in ("second", "€", "u20ac"))
    assert server.asked == []


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 500 \x1b[31mred\x07" + b"x" * 3000, b"\x1b[31m" + b"x" * 3000, b"HTTP/1.1 418 \x1b" + b"x" * 3000],
)
def test_what_a_server_says_is_short_and_plain_in_an_error(server: Scripted, answer: bytes) -> None:
    """It goes into the log and to a technician's terminal."""

    def says(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(answer + b"\r\n\r\n")
        handler.connection.close()

    server.answer = says
    error = str(refused(bus_of(server.port)))
    assert error.isprintable()
    assert len(error) < 400


def test_nobody_leads_us_to_another_host(server: Scripted, tmp_path: Path) -> None:
    """There our secrets would be told; within the host a redirect is followed, and a circle is left."""
    server.answer = lambda handler: say(handler, status=302, Location="http://evil.example/data.json")
    error = refused(bus_of(server.port))
    assert isinstance(error, PermanentError)
    assert "evil.example, which is not followed" in str(error)
    server.answer = lambda handler: (
        say(handler, AIR) if handler.path == "/there" else say(handler, status=301, Location="/there")
    )
    assert read(bus_of(server.port)).readings[0].value == 26.83
    server.answer = lambda handler: say(handler, status=301, Location=handler.path)
    assert "from one place to the next" in str(refused(bus_of(server.port)))
    del tmp_path


def test_a_request_that_was_given_up_ends(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says "go on" for ever never lets http.client see its time-out: its thread would run for good."""
    monkeypatch.setattr(module, "GRACE_S", 0.1)
    is_over = threading.Event()

    def says_go_on(handler: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            while not is_over.is_set():
                handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    server.answer = says_go_on
    bus = bus_of(server.port, timeout_s=0.5)
    assert "no answer within 0.5 s" in str(refused(bus))
    assert bus._hanging is not None
    bus._hanging.join(PATIENCE_S)
    was_alive = bus._hanging.is_alive()
    is_over.set()
    assert not was_alive


def test_while_a_request_hangs_no_other_is_begun(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the name service nothing can cut it off: each sample would leave another thread there."""
    monkeypatch.setattr(module, "GRACE_S", 0.1)
    goes_on, asked = threading.Event(), []

    def hangs(*_: object, **__: object) -> list[object]:
        asked.append(1)
        goes_on.wait(PATIENCE_S)
        return []

    bus = bus_of(server.port, target("air"), target("b"), timeout_s=0.5)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", hangs)
        assert "no answer within 0.5 s" in str(refused(bus))
        assert "the last request still hangs" in str(refused(bus, "b"))
        assert len(asked) == 1
        goes_on.set()
        assert bus._hanging is not None
        bus._hanging.join(PATIENCE_S)
    assert read(bus, "b").readings[0].value == 26.83


LONG = b"x" * (client.MAX_BYTES + 100)


def _answers(handler: BaseHTTPRequestHandler, head: bytes, body: bytes) -> None:
    """Answer, and hang up."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)
    handler.close_connection = True


def _drip(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(100):
        handler.wfile.write(b"X: y\r\n")
        handler.wfile.flush()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (lambda h: say(h, b"not json"), TransientError, "no JSON"),
        (lambda h: say(h, {"a": 1}), TransientError, "nothing that the profile knows"),
        (lambda h: say(h, b"x" * (client.MAX_BYTES + 1)), PermanentError, "more than 1 MiB"),
        (lambda h: say(h, AIR, Content_Encoding="gzip"), PermanentError, "compressed"),
        (lambda h: say(h, status=401), PermanentError, "refuses us (401"),
        (lambda h: say(h, status=404), PermanentError, "not found"),
        (lambda h: say(h, status=418), PermanentError, "418"),
        (lambda h: say(h, status=500), TransientError, "cannot answer now (500"),
        (lambda h: h.wfile.write(b"garbage\r\n\r\n"), NoAnswerError, "no answer"),
        (lambda h: h.connection.close(), NoAnswerError, "no answer"),
        (lambda _: time.sleep(3), NoAnswerError, "no answer within 1 s"),
        (_drip, NoAnswerError, "no answer within 1 s"),
        (lambda h: _answers(h, b"Content-Length: 3", b"12"), NoAnswerError, "the answer breaks off"),
        (lambda h: _answers(h, b"Transfer-Encoding: chunked", b"2\r\n12\r\n"), NoAnswerError, "no answer"),
        (lambda h: _answers(h, b"Transfer-Encoding: chunked", b"fffffffffff\r\n" + LONG), PermanentError, "1 MiB"),
        (lambda h: _answers(h, b"Content-Length: 10000000000", LONG), PermanentError, "1 MiB"),
        (lambda h: _answers(h, b"Content-Length: 5", b"[" * 5), TransientError, "no JSON"),
        (lambda h: say(h, b"[" * 100_000), TransientError, "no JSON"),
        (lambda h: say(h, b'{"a": NaN}'), TransientError, "no JSON"),
        (lambda h: say(h, status=302, Location="//evil.example/x"), PermanentError, "not followed"),
        (lambda h: say(h, status=302, Location="ftp://[/"), NoAnswerError, "no answer"),
    ],
)
def test_what_goes_wrong_is_said_in_a_sentence(
    server: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[BaseHTTPRequestHandler], None],
    kind: type[MessnetzError],
    said: str,
) -> None:
    """Typed by what can be done about it; the bus stays usable."""
    monkeypatch.setattr(module, "GRACE_S", 0.1)
    server.answer = answer
    bus = bus_of(server.port, timeout_s=1.0)
    error = refused(bus)
    assert type(error) is kind
    assert said in str(error)
    if bus._hanging is not None:
        bus._hanging.join(PATIENCE_S)  # it was cut off, and ends
    server.answer = lambda handler: say(handler, AIR)
    assert read(bus).readings[0].value == 26.83


def test_nobody_there_parks_the_device() -> None:
    """A dead server is asked more rarely, as a dead meter is."""
    bus = bus_of(1)
    assert isinstance(refused(bus), NoAnswerError)
    assert isinstance(refused(bus), NoAnswerError)
    assert isinstance(refused(bus), ParkedError)
    assert bus.parked_s("air") is not None
    assert bus.traffic("air") == (2, 2)


def test_a_server_that_asks_for_patience_gets_it(server: Scripted) -> None:
    """429 with Retry-After: nobody asks before."""
    server.answer = lambda handler: say(handler, status=429, Retry_After="60")
    bus = bus_of(server.port)
    assert isinstance(refused(bus), TransientError)
    assert isinstance(refused(bus), ParkedError)
    assert len(server.asked) == 1


def test_a_reload_keeps_what_is_known_of_the_others(server: Scripted) -> None:
    """The last time of a device that did not change stays: its count is not taken twice."""
    server.answer = lambda handler: say(handler, counters(north=3, south=4))
    north = target("north", "generic/traffic-json", counter="north")
    bus = bus_of(server.port, north)
    read(bus, "north")
    south = target("south", "generic/traffic-json", counter="south")
    bus.follow(HttpPlan("box", bus._plan.server, (north, south)))
    assert isinstance(refused(bus, "north"), ParkedError)
    assert read(bus, "south").readings[0].value == 4
