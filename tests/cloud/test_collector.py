"""The collector's word: only after the store's answer, and only on what it wrote."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from base.broker import MqttConfig
from base.errors import MessnetzError, PermanentError, TransientError
from cloud import collector as collectors
from cloud import opening, registry, routing, town
from cloud.collector import Collector
from cloud.config import CollectorFile
from cloud.inbox import Arrival
from cloud.registry import Registry
from cloud.stores.config import EmbeddedConfig, StoreConfig
from cloud.stores.interface import RejectedPointsError
from cloud.subscription import PROBE
from wire import batch as wire_batch
from wire import confirm as wire_confirm
from wire import status as wire_status
from wire.readings import Reading, Sample
from wire.status import Status

import towns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cloud.points import Point
    from cloud.stores.interface import Store
    from wire.confirm import Confirm

STREAM = "0123456789abcdef"
DERIVED = ("device_seen", "touched")
AT_MS = 1_790_000_000_000


class ScriptedStore:
    """A store that answers by a script: errors in turn, then yes; it refuses poisonous values for ever."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.written: list[Point] = []
        self.poison = -1.0
        self.poison_error: Exception = RejectedPointsError("poison")
        self.calls = 0

    def write(self, points: Sequence[Point]) -> None:
        """Fail by the script, refuse poison, or take the points."""
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        if any(self.poison in point.fields.values() for point in points):
            raise self.poison_error
        self.written += points


class Harness:
    """A collector whose broker is a list."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        town.write_registry(towns.make(tmp_path / "town"), tmp_path / "registry.yaml")
        config = CollectorFile(
            collector="c1", mqtt=MqttConfig(host="127.0.0.1"), store=StoreConfig(embedded=EmbeddedConfig(path="x"))
        )
        self.store = ScriptedStore()
        store: Store = self.store  # type: ignore[assignment] # the collector only writes
        self.collector = Collector(config, registry.load(tmp_path / "registry.yaml"), store)
        self.confirms: list[tuple[str, Confirm]] = []
        self.stop = threading.Event()
        monkeypatch.setattr(collectors, "TAKE_TIMEOUT_S", 0.0)
        monkeypatch.setattr(self.collector._subscription._mqtt, "publish", self._published)
        monkeypatch.setattr(self.collector._writer._backoff, "_chance", lambda: 0.0)

    def _published(self, topic: str, payload: bytes) -> bool:
        self.confirms.append((topic, wire_confirm.decode(payload)))
        return True

    def arrive(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Let a message come from the broker."""
        self.collector._subscription._arrived(topic, payload, retained)

    def handle(self, *payloads: bytes, gateway: str = "school-gw") -> None:
        """Let one round of batches through."""
        for payload in payloads:
            self.collector._inbox.put(Arrival(gateway, payload))
        while (part := self.collector._take_part()).arrivals:
            self.collector._settle(part, self.stop)

    def readings(self) -> list[Point]:
        """What was written, without what the collector says of it."""
        return [point for point in self.store.written if point.series.measurement not in DERIVED]


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """A collector to be played with."""
    return Harness(tmp_path, monkeypatch)


def _batch(number: int, value: float = 1.0, stream: str = STREAM) -> bytes:
    sample = Sample("school-main", AT_MS + number, (Reading("active_power", value, "W"),))
    packed = wire_batch.compress([sample])
    return wire_batch.seal_header(stream, number, 0, packed) + packed


def test_a_round_is_confirmed_as_ranges(harness: Harness) -> None:
    """Numbers side by side make one range; gaps stay gaps."""
    harness.handle(*(_batch(number) for number in (1, 2, 3, 7)))
    ((topic, confirm),) = harness.confirms
    assert topic == "messnetz/school-gw/confirm"
    assert (confirm.stream, confirm.batches, confirm.rejected) == (STREAM, [(1, 3), (7, 7)], [])
    assert len(harness.readings()) == 4


def test_each_stream_has_a_confirm_of_its_own(harness: Harness) -> None:
    """Numbers say nothing without their stream."""
    harness.handle(_batch(1), _batch(1, stream="f" * 16))
    assert sorted(confirm.stream for _, confirm in harness.confirms) == [STREAM, "f" * 16]


@pytest.mark.parametrize(
    "error", [TransientError("busy"), TransientError("later", retry_after_s=0.0), PermanentError("401")]
)
def test_nothing_is_confirmed_before_the_store_has_it(error: MessnetzError, harness: Harness) -> None:
    """A store that fails is asked again; wrong credentials reject no batch either."""
    harness.store.errors = [error, error]
    harness.handle(_batch(1))
    assert harness.store.calls == 3
    assert harness.confirms[0][1].batches == [(1, 1)]
    assert harness.confirms[0][1].rejected == []


def test_a_stop_while_the_store_fails_confirms_nothing(harness: Harness) -> None:
    """What is not written is not confirmed; the gateway keeps it."""
    harness.store.errors = [TransientError("gone")] * 5
    harness.stop.set()
    harness.handle(_batch(1))
    assert harness.confirms == []


def test_a_point_that_the_store_refuses_becomes_a_dead_letter(harness: Harness) -> None:
    """The others of its round are confirmed first; then its own batch, whose other points are written."""
    harness.store.poison = 666.0
    harness.handle(_batch(1), _batch(2, 666.0), _batch(3))
    assert [confirm.batches for _, confirm in harness.confirms] == [[(1, 1), (3, 3)], [(2, 2)]]
    assert all(confirm.rejected == [] for _, confirm in harness.confirms)
    (dead,) = [point for point in harness.store.written if point.series.measurement == "dead_letter"]
    assert dict(dead.series.tags) == {"gateway": "school-gw"}
    assert "active_power=666.0" in str(dead.fields["point"])
    assert dead.fields["reason"] == "poison"


def test_a_pack_that_was_damaged_on_the_way_is_healed_by_the_next_send(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither confirmed nor rejected, but reported: the gateway has it whole, and sends it again."""
    harness.handle(_batch(1)[:-1] + b"?", _batch(2))
    ((_, confirm),) = harness.confirms
    assert (confirm.batches, confirm.rejected) == ([(2, 2)], [])
    assert "gateway school-gw, damaged on the way" in caplog.text
    harness.handle(_batch(1))
    assert harness.confirms[-1][1].batches == [(1, 1)]


def test_a_pack_that_was_sealed_as_none_is_rejected_with_its_reason(harness: Harness) -> None:
    """Its checksum is right, so no re-send would heal it; the gateway keeps it, out of rotation."""
    harness.handle(wire_batch.seal_header(STREAM, 1, 0, b"no pack") + b"no pack", _batch(2))
    ((_, confirm),) = harness.confirms
    assert confirm.batches == [(2, 2)]
    assert confirm.rejected[0].number == 1
    assert "pack" in confirm.rejected[0].reason


def test_what_nobody_expected_in_one_batch_costs_the_others_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours while it is routed: logged with its trace, neither confirmed nor rejected."""

    def faulty(gateway: str, number: int, *rest: Any) -> list[Point]:  # noqa: ANN401 - as route
        if number == 2:
            raise ZeroDivisionError
        return routing.route(gateway, number, *rest)

    monkeypatch.setattr(opening, "route", faulty)
    harness.handle(_batch(1), _batch(2), _batch(3))
    ((_, confirm),) = harness.confirms
    assert (confirm.batches, confirm.rejected) == ([(1, 1), (3, 3)], [])
    assert "Traceback" in caplog.text


def test_what_nobody_expected_in_a_write_costs_the_others_nothing(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours while it is written: found by writing one by one, never confirmed."""
    harness.store.poison, harness.store.poison_error = 666.0, OverflowError("a float of no store")
    harness.handle(_batch(1), _batch(2, 666.0), _batch(3))
    ((_, confirm),) = harness.confirms
    assert (confirm.batches, confirm.rejected) == ([(1, 1), (3, 3)], [])
    assert "Traceback" in caplog.text


def test_a_confirm_that_fails_costs_the_other_gateways_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor the process its life."""
    publish = harness._published

    def faulty(topic: str, payload: bytes) -> bool:
        if wire_confirm.decode(payload).stream == STREAM:
            raise ZeroDivisionError
        return publish(topic, payload)

    monkeypatch.setattr(harness.collector._subscription._mqtt, "publish", faulty)
    harness.handle(_batch(1), _batch(1, stream="f" * 16))
    assert [confirm.stream for _, confirm in harness.confirms] == ["f" * 16]
    assert "confirm failed" in caplog.text


def test_a_gateway_that_sends_rubbish_for_ever_is_a_line_a_minute(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """For each kind of reason, not for each batch."""
    rubbish = wire_batch.seal_header(STREAM, 1, 0, b"no pack") + b"no pack"
    for _ in range(50):
        harness.handle(rubbish, b"{}\n", _batch(1)[:-1] + b"?", _batch(1).replace(b'"v":1', b'"v":2'))
    assert len(caplog.messages) == 4


def test_a_round_is_written_in_parts_bounded_in_readings(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes may hold ten thousand readings; each part is confirmed as soon as it is written."""
    monkeypatch.setattr(collectors, "MOST_READINGS_AT_ONCE", 2)
    harness.handle(*(_batch(number) for number in range(1, 6)))
    assert harness.store.calls == 3
    assert [confirm.batches for _, confirm in harness.confirms] == [[(1, 2)], [(3, 4)], [(5, 5)]]


@pytest.mark.parametrize(
    ("old", "new"), [(b'"v":1', b'"v":2'), (b'"encoding":"zstd"', b'"encoding":"zstd2"')], ids=["version", "encoding"]
)
def test_what_a_newer_release_sends_is_neither_confirmed_nor_rejected(
    old: bytes, new: bytes, harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported, and waits on its gateway until the collector is updated."""
    harness.handle(_batch(1).replace(old, new), _batch(2))
    ((_, confirm),) = harness.confirms
    assert (confirm.batches, confirm.rejected) == ([(2, 2)], [])
    assert "school-gw" in caplog.text


@pytest.mark.parametrize(
    "payload", [b"", b"\n", b"{}\n", b"x" * 400_000, b'{"v":1}\n', b"\xff\xfe\n", b"[" * 400 + b"\n"]
)
def test_rubbish_harms_nobody(payload: bytes, harness: Harness) -> None:
    """It is logged, and the round goes on."""
    harness.handle(payload, _batch(2))
    ((_, confirm),) = harness.confirms
    assert (confirm.batches, confirm.rejected) == ([(2, 2)], [])


@pytest.mark.parametrize(
    "topic",
    [
        "messnetz/school-gw/reply",
        "messnetz/school-gw/status",
        "other/school-gw/batch",
        "messnetz/School/batch",
        "batch",
        "",
    ],
)
def test_other_topics_are_ignored(topic: str, harness: Harness) -> None:
    """Only batches are taken."""
    harness.arrive(topic, _batch(1))
    assert harness.collector._inbox.take(1, 1, 0) == []


def test_a_retained_batch_is_ignored(harness: Harness) -> None:
    """Nobody retains a batch but by mistake or malice; it would come with every connection."""
    harness.arrive("messnetz/school-gw/batch", _batch(1), retained=True)
    assert harness.collector._inbox.take(1, 1, 0) == []


def test_what_is_not_registered_is_said(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    """City IT learns of the forgotten entry before anybody misses the readings; once a minute, not per batch."""
    packed = wire_batch.compress([Sample("forgotten", AT_MS, (Reading("active_power", 1.0, "W"),))])
    for number in (1, 2, 3):
        harness.handle(wire_batch.seal_header(STREAM, number, 0, packed) + packed)
    assert [batches for _, confirm in harness.confirms for batches in confirm.batches] == [(1, 1), (2, 2), (3, 3)]
    assert caplog.text.count("kept as unregistered: forgotten") == 1


def test_invented_gateways_fill_no_log(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    """One line for what all of them send, and one for what none can read, not one for each of a thousand ids."""
    for number in range(50):
        harness.handle(_batch(1), gateway=f"invented-{number}")
        harness.handle(b"rubbish", gateway=f"invented-{number}")
    assert len([line for line in caplog.messages if "invented-" in line]) == 2


def test_arrival_and_touched_hours_are_written_with_the_readings(harness: Harness) -> None:
    """In the same write: what is confirmed is known to have arrived, and what it touched is computed again."""
    harness.handle(_batch(1), _batch(2), _batch(3_600_000))
    derived = [point for point in harness.store.written if point.series.measurement in DERIVED]
    assert harness.store.calls == 1
    assert sorted((p.series.measurement, p.series.tag("device")) for p in derived) == [
        ("device_seen", "school-main"),
        ("touched", "school-main"),
        ("touched", "school-main"),
    ]
    hours = sorted(point.time_ns // 1_000_000 for point in derived if "written_at_ms" in point.fields)
    assert hours[1] - hours[0] == 3_600_000
    assert all(hour % 3_600_000 == 0 for hour in hours)


@pytest.mark.parametrize(("sealed_ahead_s", "read_ahead_s"), [(700, 0), (0, 700)], ids=["sealed", "read"])
def test_a_batch_from_the_future_waits(
    sealed_ahead_s: int, read_ahead_s: int, harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither confirmed nor rejected, but reported; ten minutes are let pass, and its time comes."""
    now_ms = time.time_ns() // 1_000_000

    def ahead(share: float) -> bytes:
        sample = Sample(
            "school-main", round(now_ms + read_ahead_s * 1000 * share), (Reading("active_power", 1.0, "W"),)
        )
        packed = wire_batch.compress([sample])
        return wire_batch.seal_header(STREAM, 1, round(now_ms + sealed_ahead_s * 1000 * share), packed) + packed

    harness.handle(ahead(1.0))
    assert harness.confirms == []
    assert "gateway school-gw, from the future" in caplog.text
    harness.handle(ahead(0.7))
    assert harness.confirms[0][1].batches == [(1, 1)]


def test_a_gateway_without_time_is_told_it(harness: Harness) -> None:
    """At once, retained or not; with the stream of its status, and nothing confirmed."""
    status = Status(state="no_time", since_ms=0, version="0.1.0", stream=STREAM, machine="m", config="c")
    for _ in range(3):
        harness.arrive("messnetz/school-gw/status", wire_status.encode(status), retained=True)
    ((topic, confirm),) = harness.confirms
    assert (topic, confirm.stream, confirm.batches) == ("messnetz/school-gw/confirm", STREAM, [])
    assert abs(confirm.now_ms - time.time() * 1000) < 60_000


def test_another_collectors_probe_is_no_batch(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    """It is neither queued, nor stored, nor confirmed, nor complained of."""
    harness.arrive("messnetz/c2/batch", PROBE + b"0" * 32)
    assert harness.collector._inbox.batches == 0
    assert caplog.messages == []


def test_a_reload_that_fails_leaves_the_registry_in_force(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    """And says why; one that works takes its place."""
    before, after = harness.collector._registry, Registry(harness.collector._registry.file)
    outcome: list[Registry | Exception] = [PermanentError("altered"), ZeroDivisionError(), after]

    def reload(_known: Registry) -> Registry:
        made = outcome.pop(0)
        if isinstance(made, Exception):
            raise made
        return made

    harness.collector._reload = reload
    for expected in (before, before, after):
        harness.collector.ask_reload()
        harness.collector._take_over_registry()
        assert harness.collector._registry is expected
    assert "the registry in force stays: altered" in caplog.text


def test_what_became_of_each_batch_is_counted(harness: Harness) -> None:
    """City IT sees it in Prometheus."""
    rubbish = wire_batch.seal_header(STREAM, 9, 0, b"no pack") + b"no pack"
    harness.handle(_batch(1), _batch(2)[:-1] + b"?", rubbish, b"{}\n", _batch(3).replace(b'"v":1', b'"v":2'))
    text = harness.collector._metrics.text()
    for outcome in ("confirmed", "damaged", "rejected", "unreadable", "unsupported"):
        assert f'messnetz_batches_total{{outcome="{outcome}",gateway="school-gw"}} 1\n' in text
    assert 'messnetz_readings_total{kind="good",gateway="school-gw"} 1\n' in text
