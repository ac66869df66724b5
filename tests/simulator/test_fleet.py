"""A fleet sends by a gateway's rules and counts what is confirmed; a past arrives whole."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest

from base.broker import MqttConfig
from simulator import generate, source, watch
from simulator.account import GatewayStatus
from simulator.devices import now_ms
from simulator.fleet import Fleet, FleetPlan, spans
from simulator.fleet_gateway import FleetGateway
from simulator.fleet_report import percentile
from simulator.history import HistoryPlan, Past
from simulator.ledger import Ledger
from simulator.processes import run
from simulator.proxy import Proxy
from simulator.servers import LOOPBACK, free_port
from simulator.source import Ramps
from simulator.town_files import PREFIX, TownFiles
from wire import confirm as wire_confirm
from wire.batch import open_header

from chain import Messnetz

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulator.fleet_gateway import Flight
    from simulator.spec import TownSpec

    from servers import Mosquitto

NOW_MS = 1_795_345_200_000
TOWN = generate.town(1, 2)
NAME = TOWN.gateways[0].id


def plan(backlog: int, *, window: int = 4, fresh_every_s: float | None = None) -> FleetPlan:
    """Small batches: one tick each."""
    source_ = Ramps(TOWN, 10)
    return FleetPlan(
        source_,
        spans(NOW_MS - backlog * 10_000, NOW_MS, 10_000),
        window=window,
        fresh_every_s=fresh_every_s,
        timeout_s=10.0,
    )


def gateway(of: FleetPlan) -> FleetGateway:
    """The only gateway of the small town."""
    return FleetGateway(NAME, of, random.Random(1))  # noqa: S311 - no secret


def send_all(one: FleetGateway, now_s: float) -> list[Flight]:
    """Send whatever may be sent now."""
    sent = []
    while (flight := one.next_to_send(now_s)) is not None:
        one.sent(flight, now_s, is_taken=True)
        sent.append(flight)
    return sent


def confirm(one: FleetGateway, *numbers: int, stream: str = "") -> bool:
    """Tell a gateway that these are stored."""
    message = wire_confirm.Confirm(stream or one.stream, NOW_MS, wire_confirm.ranges(numbers))
    return one.confirmed(wire_confirm.encode(message))


def test_the_backlog_goes_oldest_first_and_leaves_a_place_for_what_is_fresh() -> None:
    """Of a window of four, three; a fresh batch finds the fourth free at once."""
    one = gateway(plan(9, fresh_every_s=0.01))
    now_s = time.monotonic()
    assert [flight.number for flight in send_all(one, now_s)] == [1, 2, 3]
    one._last_sealed_ms -= 60_000  # a minute of ticks to seal
    one.seal_if_due(now_s + 1)
    assert [flight.number for flight in send_all(one, now_s)] == [10]


def test_a_confirm_makes_room_and_is_counted_once() -> None:
    """Late and repeated ones settle nothing; those of another stream concern somebody else."""
    one = gateway(plan(5))
    now_s = time.monotonic()
    send_all(one, now_s)
    assert confirm(one, 1, 2)
    assert not confirm(one, 1, 2)
    assert not confirm(one, 3, stream="f" * 16)
    assert [flight.number for flight in send_all(one, now_s)] == [4, 5]
    assert confirm(one, 3, 4, 5)
    report = one.report(now_s, 0)
    assert (report.sent, report.resent, report.confirmed_batches, report.unasked_confirms) == (5, 0, 5, 0)
    assert report.confirmed_readings == report.sent_readings > 0
    assert report.drained_after_s is not None
    assert one.is_drained


def test_a_confirm_of_what_was_never_sealed_is_reported() -> None:
    """It settles nothing."""
    one = gateway(plan(2))
    assert not confirm(one, 3)
    assert one.report(0.0, 0).unasked_confirms == 1


def test_what_is_not_confirmed_is_sent_again_as_it_was() -> None:
    """After its time-out, which grows; and at once after a reconnect."""
    one = gateway(plan(1))
    now_s = 1000.0
    (first,) = send_all(one, now_s)
    assert send_all(one, now_s + 4.9) == []
    (second,) = send_all(one, now_s + 10.1)
    assert second.payload == first.payload
    assert send_all(one, now_s + 10.1 + 9.9) == []
    one.reconnected()
    (third,) = send_all(one, now_s + 11)
    assert (third.number, open_header(third.payload)[0].stream) == (1, one.stream)
    assert one.report(0.0, 0).resent == 2


def test_asking_whether_it_is_drained_keeps_a_fleet_from_nothing() -> None:
    """Its connections, seals and time-outs run in the loop of whoever asks, also where it is drained already."""

    async def story() -> int:
        fleet = Fleet(plan(0), MqttConfig(LOOPBACK, free_port()))
        turns = 0

        async def work() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        working = asyncio.create_task(work())
        assert await fleet.drained(10)
        working.cancel()
        return turns

    assert asyncio.run(story()) > 0


@pytest.mark.parametrize(
    ("values", "share", "expected"), [([], 0.5, None), ([3.0, 1.0, 2.0], 0.5, 2.0), ([1.0], 0.99, 1.0)]
)
def test_a_percentile_is_a_value_that_was_measured(values: list[float], share: float, expected: float | None) -> None:
    """By nearest rank."""
    assert percentile(values, share) == expected


class Cloud:
    """A collector on the embedded store, and the files of a town without meters."""

    def __init__(self, directory: Path, town: TownSpec, port: int) -> None:
        self.files = TownFiles(directory / "town", town)
        self.files.write({}, {"host": LOOPBACK, "port": port}, {"embedded": {"path": "store.sqlite"}})
        asyncio.run(
            run(("town", "registry", str(self.files.directory), "--output", str(self.files.registry), "--first"), 60)
        )
        self.collector = Messnetz(directory / "collector", "cloud", self.files.collector)


@pytest.mark.slow
@pytest.mark.parametrize("connections", [None, 2], ids=["one connection each", "two for all"])
def test_a_fleet_behind_a_link_that_breaks_arrives_reading_by_reading(
    tmp_path: Path, make_mosquitto: Callable[..., Mosquitto], connections: int | None
) -> None:
    """Backlog and fresh data of six gateways through broker and collector; its own account is that of the store."""
    port = make_mosquitto().port
    town = generate.town(6, 12)
    cloud = Cloud(tmp_path, town, port)
    log = tmp_path / "watch.log"

    async def story() -> None:
        begin_ms = now_ms()
        source_ = Ramps(town, 0.1)
        backlog = spans(begin_ms - 30_000, begin_ms, 1_000)
        async with Proxy(port) as proxy:
            plan_ = FleetPlan(source_, backlog, fresh_every_s=0.5, connections=connections, timeout_s=2.0, seed=5)
            async with Fleet(plan_, MqttConfig(LOOPBACK, proxy.port)) as fleet:
                while fleet.report().confirmed_batches < 10:  # noqa: ASYNC110 - what is waited for tells no event
                    await asyncio.sleep(0.02)
                proxy.cut()
                await asyncio.sleep(1.5)
                fleet.stop_sealing()
                assert await fleet.drained(60), fleet.report()
            report = fleet.report()
        assert report.confirmed_batches == report.sealed_batches > 6 * len(backlog)
        assert [one.sessions_lost for one in report.gateways] == [1] * 6
        assert (report.rejected_batches, report.unasked_confirms) == (0, 0)
        assert report.drained_after_s is not None
        assert report.fresh_most_s is not None
        witness = source.witness(source_, begin_ms - 30_000, now_ms())
        ledger = Ledger(witness, fleet.polls())
        await watch.read_store(cloud.files, witness, ledger.store, log)
        await watch.read_unregistered(cloud.files, witness, ledger.unregister, log)
        readings = GatewayStatus(sealed_readings=report.sent_readings, confirmed_readings=report.confirmed_readings)
        account = ledger.account(readings)
        assert account.is_clean, account
        assert account.stored == report.confirmed_readings

    with cloud.collector:
        asyncio.run(story())


@pytest.mark.slow
def test_a_past_is_in_the_store_to_the_last_reading(tmp_path: Path, make_mosquitto: Callable[..., Mosquitto]) -> None:
    """A day of the past, at any speed, of two gateways; a reading that is taken away is missed."""
    port = make_mosquitto().port
    town = generate.town(2, 5)
    cloud = Cloud(tmp_path, town, port)
    said: list[str] = []

    async def story() -> None:
        past = Past(town, HistoryPlan(days=1, interval_s=900), now_ms())
        report = await past.send({"host": LOOPBACK, "port": port}, PREFIX, said.append)
        assert report.confirmed_readings == past.readings
        account = await past.account(cloud.files, tmp_path / "watch.log")
        assert account.is_clean, account
        assert account.stored == past.readings
        past.since_ms -= 900_000  # claim a tick that was never sent
        account = await past.account(cloud.files, tmp_path / "watch.log")
        assert account.unaccounted == past.readings - report.confirmed_readings > 0

    with cloud.collector:
        asyncio.run(story())
    assert said[-1].startswith("history: ")


def test_a_fleet_waits_for_a_broker_that_is_not_there() -> None:
    """And says that it is not drained."""

    async def story() -> None:
        async with Fleet(plan(2), MqttConfig(LOOPBACK, free_port())) as fleet:
            assert not await fleet.drained(0.3)
            assert fleet.report().sent == 0

    asyncio.run(story())


def test_the_brokers_port_stays_free_when_it_is_killed() -> None:
    """It lies below those that Linux gives to whoever connects."""
    assert 16_000 <= free_port() < 32_768
