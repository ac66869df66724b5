"""`/metrics` and `/healthz`, asked for over HTTP."""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import urllib3

from base.errors import TransientError
from cloud import metrics as metrics_module
from cloud import monitor as monitor_module
from cloud.metrics import Metrics
from cloud.monitor import Monitor

from servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

SAMPLE = re.compile(r'[a-z_]+(\{([a-z]+="[^"\\\n]*",?)*\})? (NaN|[+-]?[0-9.e+-]+)')
COMMENT = re.compile(r"# (HELP [a-z_]+ \S.*|TYPE [a-z_]+ (counter|gauge|histogram))")


class Watched:
    """A monitor on a free port."""

    def __init__(self) -> None:
        self.listen = f"127.0.0.1:{free_port()}"
        self.metrics = Metrics()
        self.reasons: dict[str, str] = {}
        self.monitor = Monitor(self.listen, self.metrics, lambda: self.reasons)

    def get(self, path: str) -> tuple[int, str, str]:
        """Status, content type and body."""
        answer = urllib3.request("GET", f"http://{self.listen}{path}", timeout=10.0)
        return answer.status, answer.headers["Content-Type"], answer.data.decode()


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A running monitor."""
    made = Watched()
    with made.monitor:
        yield made


def test_metrics_are_what_prometheus_reads(watched: Watched) -> None:
    """Each line of the text format; a histogram's buckets add up."""
    watched.metrics.batch("received", "school-gw", 3)
    watched.metrics.readings("good", "school-gw", 40)
    for seconds in (0.001, 0.2, 99.0):
        watched.metrics.store_wrote(seconds)
    watched.metrics.gauge("messnetz_queue_batches", "Batches that wait.", lambda: 2)
    status, kind, text = watched.get("/metrics")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert text.endswith("\n")
    assert [line for line in text.splitlines() if not (SAMPLE.fullmatch(line) or COMMENT.fullmatch(line))] == []
    lines = text.splitlines()
    assert 'messnetz_batches_total{outcome="received",gateway="school-gw"} 3' in lines
    assert "messnetz_queue_batches 2.0" in lines
    assert 'messnetz_store_write_seconds_bucket{le="0.005"} 1' in lines
    assert 'messnetz_store_write_seconds_bucket{le="30.0"} 2' in lines
    assert 'messnetz_store_write_seconds_bucket{le="+Inf"} 3' in lines
    assert "messnetz_store_write_seconds_count 3" in lines


def test_health_is_a_status_with_its_reason(watched: Watched) -> None:
    """200 where all is well, 503 and why where not."""
    status, kind, body = watched.get("/healthz")
    assert (status, kind, json.loads(body)) == (200, "application/json", {"status": "ok", "reasons": {}})
    watched.reasons = {"store": "does not answer"}
    status, _, body = watched.get("/healthz")
    assert (status, json.loads(body)) == (503, {"status": "failing", "reasons": watched.reasons})


def test_nothing_else_is_answered(watched: Watched) -> None:
    """No files, no writing."""
    assert watched.get("/etc/passwd")[0] == 404
    assert urllib3.request("POST", f"http://{watched.listen}/metrics").status == 501


@pytest.mark.slow
def test_who_says_nothing_keeps_the_others_waiting_no_longer_than_its_time(watched: Watched) -> None:
    """A connection that stays silent is hung up on."""
    host, _, port = watched.listen.partition(":")
    with socket.create_connection((host, int(port))):
        assert watched.get("/healthz")[0] == 200


class Dripping:
    """Clients that send their request a byte at a time, never an end of it, and for as long as they may."""

    def __init__(self, listen: str, number: int) -> None:
        host, _, port = listen.partition(":")
        self.sockets = [socket.create_connection((host, int(port))) for _ in range(number)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drip, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for client in self.sockets:
            client.close()

    def _drip(self) -> None:
        while not self._stop.wait(0.05):
            for client in self.sockets:
                with suppress(OSError):
                    client.send(b"G")


@pytest.mark.slow
def test_slow_clients_keep_nobody_waiting(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, and though their time is not over: the oldest of them makes room."""
    monkeypatch.setattr(monitor_module, "REQUEST_TIMEOUT_S", 3600.0)
    monkeypatch.setattr(monitor_module._Handler, "timeout", 3600.0)
    with Dripping(watched.listen, 3 * monitor_module.MOST_AT_ONCE):
        for _ in range(monitor_module.MOST_AT_ONCE):
            assert watched.get("/healthz")[0] == 200
        threads = [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]
        assert len(threads) <= monitor_module.MOST_AT_ONCE


@pytest.mark.slow
def test_a_byte_now_and_then_buys_no_time(watched: Watched) -> None:
    """Who has not asked within the time of a request is hung up on."""
    with Dripping(watched.listen, 1) as slow:
        slow.sockets[0].settimeout(60.0)
        with suppress(ConnectionResetError):  # as a hang-up shows where bytes were on their way
            assert slow.sockets[0].recv(1) == b""


def test_an_address_that_is_taken_is_said(watched: Watched) -> None:
    """As a sentence."""
    with pytest.raises(TransientError, match="cannot listen there"):
        Monitor(watched.listen, Metrics(), dict)


def test_invented_gateways_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels are bounded, whoever publishes whatever."""
    monkeypatch.setattr(metrics_module, "MOST_GATEWAYS", 3)
    metrics = Metrics()
    for number in range(100):
        metrics.batch("received", f"gw-{number}")
    assert metrics.text().count("messnetz_batches_total{") == 4
    assert 'messnetz_batches_total{outcome="received",gateway="others"} 97\n' in metrics.text()
