"""Collectors as processes, beside each other on a real broker and a real database."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import zlib
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

import pytest
import urllib3
import yaml
import zstandard

from base.mqtt import Connection, Handlers, MqttConfig
from cloud import town
from cloud.points import Point, Series
from cloud.stores.influx1 import Influx1Store
from wire import batch as wire_batch
from wire import confirm as wire_confirm
from wire import gaps
from wire.gaps import Gap
from wire.readings import Reading, Sample

import towns
from chain import MESSNETZ
from servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from servers import Influx1, Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WAIT_S = 120.0
STOPPED_S = float(os.environ.get("MESSNETZ_STOPPED_S", "9"))
"""How long a collector stands still; the broker hangs up on it after 7.5 s. 60 for the full minute."""
STREAM = "0123456789abcdef"
RESEND_S = 5.0
WINDOW = 8
FLOOD_EVERY_S = 0.2
"""All of the rubbish again: some half a million readings a second that nobody can store so fast."""


class Collector(Server):
    """`messnetz cloud collect` as a process; ready when it says that it is well."""

    name = "collector"

    def __init__(self, directory: Path, registry: Path, mqtt_port: int, url: str, group: str | None = None) -> None:
        super().__init__(directory)
        self._file = directory / "collector.yaml"
        settings: dict[str, object] = {
            "collector": directory.name,
            "mqtt": {"host": "127.0.0.1", "port": mqtt_port, "keepalive_s": 5},
            "registry": str(registry),
            "store": {"influx1": {"url": url, "database": "messnetz"}},
            "listen": f"127.0.0.1:{self.port}",
        }
        if group is not None:
            secret = directory / "group"
            secret.touch(mode=0o600)
            secret.write_text(group)
            settings |= {"shared": True, "group_file": "group"}
        self._file.write_text(yaml.safe_dump(settings))

    def _command(self) -> list[str]:
        return [*MESSNETZ, "cloud", "collect", str(self._file)]

    def _is_ready(self) -> bool:
        return self.health()[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """Ask its monitor."""
        try:
            answer = urllib3.request("GET", f"http://127.0.0.1:{self.port}{path}", timeout=5.0, retries=False)
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(str(error)) from error
        return answer.status, answer.data.decode()

    def health(self) -> tuple[int, Any]:
        """Status and what it says."""
        status, body = self.get("/healthz")
        return status, json.loads(body)

    def count(self, line: str) -> float:
        """Value of one line of its metrics; 0 where there is none."""
        values = [text.rpartition(" ")[2] for text in self.get("/metrics")[1].splitlines() if text.startswith(line)]
        return sum(map(float, values))


class Unwell(Collector):
    """One whose database is away: ready when it says so."""

    def _is_ready(self) -> bool:
        return "store" in self.health()[1]["reasons"] and "yet" not in self.health()[1]["reasons"]["store"]


class Gateway:
    """Sends batches as an agent does: a window of them in flight, each again until it is confirmed or rejected."""

    def __init__(self, name: str, port: int, payloads: Sequence[bytes]) -> None:
        self.name = name
        self.payloads = dict(enumerate(payloads, 1))
        self.open = dict.fromkeys(self.payloads, 0.0)
        self.confirmed: set[int] = set()
        self.rejected: set[int] = set()
        self.sent = 0
        self._lock = threading.Lock()
        self._connection = Connection(
            MqttConfig("127.0.0.1", port),
            name,
            Handlers(lambda: None, lambda _reason: None, self._heard),
            subscriptions=[f"messnetz/{name}/confirm"],
        )

    def _heard(self, _topic: str, payload: bytes, _retained: bool) -> None:  # noqa: FBT001 - Handlers' signature
        confirm = wire_confirm.decode(payload)
        assert confirm.stream == STREAM
        with self._lock:
            self.confirmed |= {number for first, last in confirm.batches for number in range(first, last + 1)}
            self.rejected |= {rejection.number for rejection in confirm.rejected}
            for number in self.confirmed | self.rejected:
                self.open.pop(number, None)

    def pump(self) -> bool:
        """Send what is due; whether anything is still open."""
        now_s = time.monotonic()
        with self._lock:
            due = [number for number in list(self.open)[:WINDOW] if now_s - self.open[number] > RESEND_S]
        for number in due:
            if self._connection.publish(f"messnetz/{self.name}/batch", self.payloads[number]):
                self.sent += 1
                with self._lock:
                    if number in self.open:
                        self.open[number] = now_s
        return bool(self.open)

    def __enter__(self) -> Self:
        self._connection.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.stop()


START_MS = (int(time.time()) - 86_400) * 1000
PER_BATCH = 20


def _sealed(number: int, samples: Sequence[Sample], *, ahead_ms: int = 0) -> bytes:
    packed = wire_batch.compress(samples)
    return wire_batch.seal_header(STREAM, number, START_MS + ahead_ms, packed) + packed


def _good(device: str, count: int) -> list[bytes]:
    """Batches whose readings say which they are."""
    return [
        _sealed(
            number,
            [
                Sample(
                    device,
                    START_MS + (number * PER_BATCH + index) * 1000,
                    (Reading("active_power", float(number * PER_BATCH + index), "W"),),
                )
                for index in range(PER_BATCH)
            ],
        )
        for number in range(1, count + 1)
    ]


def _check_stored(store: Influx1Store, device: str, count: int) -> None:
    """Every reading once, with its own value."""
    points = list(store.series("electricity", 0, 2**62, {"device": device}))
    values = [point.fields["active_power"] for point in points]
    assert values == [float(value) for value in range(PER_BATCH, (count + 1) * PER_BATCH)]
    assert [point.time_ns // 10**9 - START_MS // 1000 for point in points] == values


@contextmanager
def _store(database: Influx1) -> Iterator[Influx1Store]:
    store = Influx1Store(database.url, "messnetz")
    store.prepare()
    yield store
    store.close()


def _pump_until(gateways: Sequence[Gateway], done: Callable[[], bool], logs: Callable[[], str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline, f"open: {[(g.name, len(g.open)) for g in gateways]}\n{logs()}"
        for gateway in gateways:
            gateway.pump()
        time.sleep(0.02)


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """The registry of the small town."""
    file = tmp_path / "registry.yaml"
    town.write_registry(towns.make(tmp_path / "town"), file)
    return file


def test_three_share_and_one_stands_still(
    tmp_path: Path, registry: Path, make_mosquitto: Callable[..., Mosquitto], make_influx1: Callable[..., Influx1]
) -> None:
    """SIGSTOP in the middle: every batch is stored once and confirmed all the same.

    The broker goes on giving the one that stands still its share for a while; let go on, it works again.
    """
    broker, database = make_mosquitto(), make_influx1()
    batches = 150
    with ExitStack() as stack:
        three = [
            stack.enter_context(Collector(tmp_path / f"c{n}", registry, broker.port, database.url, "secret-group"))
            for n in (1, 2, 3)
        ]
        gateways = [
            stack.enter_context(Gateway(name, broker.port, _good(device, batches)))
            for name, device in (("school-gw", "school-main"), ("plant-gw", "plant-pump"))
        ]

        def logs() -> str:
            return "\n".join(collector.log() for collector in three)

        _pump_until(gateways, lambda: all(len(gateway.confirmed) > 10 for gateway in gateways), logs)
        os.kill(three[2].pid, signal.SIGSTOP)
        resume_at_s = time.monotonic() + STOPPED_S
        try:
            _pump_until(gateways, lambda: time.monotonic() > resume_at_s, logs)
        finally:
            os.kill(three[2].pid, signal.SIGCONT)
        _pump_until(gateways, lambda: not any(gateway.open for gateway in gateways), logs)
        _pump_until(gateways, lambda: three[2].health()[0] == 200, logs)
        assert all(collector.count('messnetz_batches_total{outcome="confirmed"') for collector in three), logs()
        assert "secret-group" not in logs()
    with _store(database) as store:
        for gateway, device in zip(gateways, ("school-main", "plant-pump"), strict=True):
            assert gateway.confirmed == set(range(1, batches + 1))
            assert gateway.rejected == set()
            _check_stored(store, device, batches)


def _bomb() -> bytes:
    packed = zstandard.ZstdCompressor(level=19).compress(b"[" + b"{}," * 600_000 + b"{}]")
    return wire_batch.header_line(STREAM, 1, START_MS, zlib.crc32(packed)) + packed


def _larger_bomb() -> bytes:
    packed = zstandard.ZstdCompressor(level=19).compress(b"[" + b" " * (64 << 20) + b"]")
    return wire_batch.header_line(STREAM, 2, START_MS, zlib.crc32(packed)) + packed


def _channels(number: int) -> bytes:
    names = [Reading("voltage", 230.0, "V", f"L{number}x{index}") for index in range(5_000)]
    return _sealed(number, [Sample("school-main", START_MS, tuple(names))])


def _devices(number: int) -> bytes:
    reading = Reading("active_power", 1.0, "W")
    return _sealed(number, [Sample(f"invented-{number}-{i}", START_MS, (reading,)) for i in range(5_000)])


def _future(number: int) -> bytes:
    return _sealed(number, [Sample("school-main", START_MS, (Reading("active_power", 1.0, "W"),))], ahead_ms=10**11)


def _thief(number: int) -> bytes:
    return _sealed(number, [Sample("plant-pump", START_MS + 500, (Reading("active_power", 666.0, "W"),))])


def _endless_unit(number: int) -> bytes:
    return _sealed(number, [Sample("stranger", START_MS, (Reading("magic", 1.0, "u" * 70_000),))])


def _refused(number: int) -> bytes:
    """Hold a field that has another type in the store."""
    return _sealed(number, [gaps.sample(Gap("school-main", START_MS, START_MS + 1000, "quota", 7))])


def test_a_gateway_that_sends_rubbish_harms_no_other(
    tmp_path: Path, registry: Path, make_mosquitto: Callable[..., Mosquitto], make_influx1: Callable[..., Influx1]
) -> None:
    """Bombs, a flood of channels and devices, another's device, times to come, what the store refuses.

    Each is settled or waits, the process stays small, and the other's batches are confirmed within two sends.
    """
    broker, database = make_mosquitto(), make_influx1()
    rubbish = [
        *(_bomb(), _larger_bomb()),
        *(_channels(number) for number in range(3, 8)),
        *(_devices(number) for number in range(8, 13)),
        *(_future(number) for number in range(13, 16)),
        *(_thief(16), _endless_unit(17), _refused(18), b"{}", b"\n", b"\xff" * 1000, b"[" * 300 + b"\n"),
    ]
    batches = 40
    with _store(database) as store:
        store.write([Point(Series.of("gap"), START_MS * 10**6, {"gap_until": "a text"})])
    with (
        Collector(tmp_path / "c1", registry, broker.port, database.url) as collector,
        Gateway("school-gw", broker.port, rubbish) as bad,
        Gateway("plant-gw", broker.port, _good("plant-pump", batches)) as good,
    ):
        bad.open = dict.fromkeys(bad.payloads, 0.0)

        flooded_at_s = 0.0

        def flood() -> bool:
            nonlocal flooded_at_s
            if time.monotonic() - flooded_at_s > FLOOD_EVERY_S:
                flooded_at_s = time.monotonic()
                for payload in rubbish:
                    bad._connection.publish("messnetz/school-gw/batch", payload)
            return not good.open

        _pump_until([good], flood, collector.log)
        assert good.confirmed == set(range(1, batches + 1))
        assert good.sent <= 2 * batches
        _pump_until([bad], lambda: len(bad.confirmed | bad.rejected) >= 15, collector.log)
        assert bad.rejected == {1, 2}
        assert bad.confirmed == {*range(3, 13), 16, 17, 18}
        assert collector.health()[0] == 200
        rss_kb = int(
            next(line.split()[1] for line in _proc(collector.pid, "status").splitlines() if line.startswith("VmHWM"))
        )
        assert rss_kb < 150_000
    with _store(database) as store:
        _check_stored(store, "plant-pump", batches)
        assert store.tag_values("device_seen", "device") == ["plant-pump", "school-main"]
        assert len(list(store.series("dead_letter", 0, 2**62, {"gateway": "school-gw"}))) == 1


def _proc(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", encoding="utf-8") as file:  # noqa: PTH123 - no file of ours
        return file.read()


def test_a_term_finishes_and_confirms_what_is_being_written(
    tmp_path: Path, registry: Path, make_mosquitto: Callable[..., Mosquitto], make_influx1: Callable[..., Influx1]
) -> None:
    """The next one needs to write nothing again; one whose database is away is not well, and says why."""
    broker, database = make_mosquitto(), make_influx1()
    with Gateway("school-gw", broker.port, _good("school-main", 60)) as gateway:
        with Collector(tmp_path / "c1", registry, broker.port, database.url) as collector:
            _pump_until([gateway], lambda: len(gateway.confirmed) > 5, collector.log)
            collector.stop()
            assert not collector.is_running
            database.kill()
        with Unwell(tmp_path / "c2", registry, broker.port, database.url) as waiting:
            assert "does not answer" in waiting.health()[1]["reasons"]["store"]
            waiting.stop()
        database.start()
        with Collector(tmp_path / "c3", registry, broker.port, database.url) as collector:
            _pump_until([gateway], lambda: not gateway.open, collector.log)
    with _store(database) as store:
        _check_stored(store, "school-main", 60)


def test_sighup_takes_over_a_registry_that_carries_on_and_refuses_one_that_does_not(
    tmp_path: Path, registry: Path, make_mosquitto: Callable[..., Mosquitto], make_influx1: Callable[..., Influx1]
) -> None:
    """The one in force stays, and the log says why."""
    broker, database = make_mosquitto(), make_influx1()
    with Collector(tmp_path / "c1", registry, broker.port, database.url) as collector:
        sound = registry.read_text()
        registry.write_text(sound.replace('"sector": "industry"', '"sector": "heat"'))
        _hup(collector, "the registry in force stays")
        assert "another history than the one in force" in collector.log()
        added = '{"device": "new-one", "gateway": "plant-gw", "profile": "eastron/sdm630", "site": "plant", '
        added += '"sector": "industry", "interval_s": 10}'
        registry.write_text(sound.replace("\n]}", f",\n{added}\n]}}"))
        _hup(collector, "registry reloaded: 6 devices")
        assert collector.count("messnetz_registry_devices") == 6


def _hup(collector: Collector, expected: str) -> None:
    os.kill(collector.pid, signal.SIGHUP)
    deadline = time.monotonic() + WAIT_S
    while expected not in collector.log():
        assert time.monotonic() < deadline, collector.log()
        time.sleep(0.05)
