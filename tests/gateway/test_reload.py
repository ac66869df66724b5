"""A new configuration for a running agent, where no device answers and no broker is."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from base.errors import ConfigError, TransientError
from base.sqlite import CorruptError
from base.systemd import Notifier
from gateway import config, description, reload, status
from gateway.agent import Agent
from gateway.spool import Settled, Spool
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from gateway.config import GatewayConfig

FILE = """\
gateway: town-hall-gw
clock: trusted
mqtt: {{host: 127.0.0.1, port: 1}}
spool: {{path: {directory}/spool.sqlite, seal_interval_s: 3600}}
socket: {directory}/agent.sock
buses:
  - id: hall
    driver: modbus
    tcp: 127.0.0.1:1
    timeout_s: 0.2
    devices:
      - {{id: main, profile: eastron/sdm630, site: s, unit: 1, interval_s: 0.2}}
      - {{id: gym, profile: eastron/sdm630, site: s, unit: 2, interval_s: 3600}}
  - id: cellar
    driver: modbus
    tcp: 127.0.0.2:1
    timeout_s: 0.2
    devices:
      - {{id: kitchen, profile: eastron/sdm630, site: s, unit: 1, interval_s: 0.2}}
"""


class Desk:
    """A gateway's file, the agent that runs on it, and what systemd hears of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "gw.yaml"
        self.file.write_text(FILE.format(directory=directory))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._listener.bind(str(directory / "notify"))
        self._listener.settimeout(0)
        self.agent = Agent(config.load(self.file), Notifier({"NOTIFY_SOCKET": str(directory / "notify")}))

    def edit(self, old: str, new: str) -> None:
        """Change the file."""
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new, 1))

    def heard(self) -> list[str]:
        """What systemd heard since the last call, without the texts of its status and the times."""
        words = []
        while True:
            try:
                words.append(self._listener.recv(4096).decode().partition("\n")[0])
            except BlockingIOError:
                return [word for word in words if not word.startswith("STATUS=")]

    async def ask(self, **asked: str | int) -> dict[str, object]:
        """Ask through the socket, as the commands do."""
        answer = await asyncio.to_thread(
            lambda: status.ask(self.directory / "agent.sock", status.ASK_TIMEOUT_S, **asked)
        )
        assert answer is not None
        return answer

    async def device(self, name: str) -> dict[str, object]:
        """What the status says of a device."""
        answer = await self.ask()
        buses = answer["buses"]
        assert isinstance(buses, list)
        return next(device for bus in buses for device in bus["devices"] if device["id"] == name)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the agent until the end of the context."""
        stop = asyncio.Event()
        task = asyncio.create_task(self.agent.run(stop))
        heard: list[str] = []
        while "READY=1" not in heard:
            await asyncio.sleep(0.01)
            heard += self.heard()
            if task.done():
                await task
        try:
            yield
        finally:
            stop.set()
            assert await task == 0

    def close(self) -> None:
        """Hear no more."""
        self._listener.close()
        self.agent._notifier.close()

    async def until_parked(self, name: str) -> None:
        """Wait until a device counts as not answering."""
        while (await self.device(name))["parked_s"] is None:  # noqa: ASYNC110 - it is asked, as a person would
            await asyncio.sleep(0.02)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A gateway at work."""
    made = Desk(tmp_path)
    yield made
    made.close()


def test_a_rescue_at_start_asks_systemd_for_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is ready: its start-up time-out must not kill the rescue again and again."""
    monkeypatch.setattr("gateway.agent.EXTEND_EVERY_S", 0.0)
    (desk.directory / "spool.sqlite").write_bytes(b"no database" * 1000)

    async def play() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(desk.agent.run(stop))
        heard: list[str] = []
        while "READY=1" not in heard:
            await asyncio.sleep(0.01)
            heard += desk.heard()
            if task.done():
                await task
        stop.set()
        await task
        before = heard[: heard.index("READY=1")]
        assert before
        assert set(before) == {"EXTEND_TIMEOUT_USEC=120000000"}

    asyncio.run(asyncio.wait_for(play(), 20))


def test_systemd_hears_of_start_reload_and_end(desk: Desk) -> None:
    """Ready without a broker; a reload, good or bad, ends with ready again."""

    async def play() -> None:
        async with desk.running():
            await desk.agent.reload()
            assert desk.heard() == ["RELOADING=1", "READY=1"]
            desk.edit("clock: trusted", "clock: wrong")
            with pytest.raises(ConfigError):
                await desk.agent.reload()
            assert desk.heard() == ["RELOADING=1", "READY=1"]
        assert desk.heard() == ["STOPPING=1"]

    asyncio.run(asyncio.wait_for(play(), 30))


def test_a_bad_file_changes_nothing_and_is_said(desk: Desk) -> None:
    """The status shows why, and both hashes; a good file clears it."""

    async def play() -> None:
        async with desk.running():
            before = await desk.ask()
            desk.edit("unit: 2", "unit: 1")
            with pytest.raises(ConfigError, match=r"gw\.yaml:13:59: found unit 1, which 'main' has"):
                await desk.ask(command="reload")
            now = await desk.ask()
            refused = now["refused"]
            assert isinstance(refused, dict)
            assert now["config"] == before["config"]
            assert refused["hash"] == config.hash_of(desk.file.read_bytes()) != now["config"]
            assert "which 'main' has" in refused["error"]
            desk.edit(
                "id: gym, profile: eastron/sdm630, site: s, unit: 1",
                "id: gym, profile: eastron/sdm630, site: s, unit: 5",
            )
            taken = await desk.ask(command="reload")
            now = await desk.ask()
            assert (now["refused"], now["config"]) == (None, taken["config"])
            assert taken["config"] == config.load(desk.file).hash

    asyncio.run(asyncio.wait_for(play(), 30))


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("gateway: town-hall-gw", "gateway: other-gw", "gateway"),
        ("clock: trusted", "clock: kernel", "clock"),
        ("/spool.sqlite", "/other.sqlite", "spool"),
        ("agent.sock", "other.sock", "socket"),
        ("clock: trusted", "clock: trusted\nuplink: {window: 3}", "uplink"),
    ],
)
def test_what_cannot_change_while_it_runs_is_refused(desk: Desk, old: str, new: str, name: str) -> None:
    """With a sentence that says what would."""
    running = config.load(desk.file)
    desk.edit(old, new)
    with pytest.raises(ConfigError, match=f"another '{name}' than the agent runs with; .* or a restart of the agent"):
        reload.load(running)


def test_a_device_that_did_not_change_is_not_disturbed(desk: Desk) -> None:
    """Parked stays parked, on the bus that changed and on the one that did not; counts go on."""

    async def play() -> None:
        async with desk.running():
            await desk.until_parked("main")
            await desk.until_parked("kitchen")
            before = {name: await desk.device(name) for name in ("main", "kitchen")}
            desk.edit("unit: 2", "unit: 7")
            await desk.ask(command="reload")
            for name, device in before.items():
                now = await desk.device(name)
                assert now["parked_s"] is not None
                assert now["errors"] == device["errors"], "a device that is parked was not asked again"
                assert now["reachable"] is False

    asyncio.run(asyncio.wait_for(play(), 30))


def test_devices_and_buses_come_and_go(desk: Desk) -> None:
    """A port that one bus leaves another may take."""

    async def play() -> None:
        async with desk.running():
            desk.edit("  - id: cellar", "  - id: attic")
            desk.edit("tcp: 127.0.0.2:1", "tcp: 127.0.0.3:1")
            desk.edit("tcp: 127.0.0.1:1", "tcp: 127.0.0.2:1")
            desk.edit("      - {id: gym, profile: eastron/sdm630, site: s, unit: 2, interval_s: 3600}\n", "")
            await desk.ask(command="reload")
            buses = (await desk.ask())["buses"]
            assert isinstance(buses, list)
            found = {bus["id"]: (bus["place"], [device["id"] for device in bus["devices"]]) for bus in buses}
            assert found == {"hall": ("127.0.0.2:1", ["main"]), "attic": ("127.0.0.3:1", ["kitchen"])}

    asyncio.run(asyncio.wait_for(play(), 30))


def test_what_is_pending_is_not_lost(desk: Desk) -> None:
    """A reload never touches the spool."""

    async def play() -> int:
        async with desk.running():
            stream = (await desk.ask())["stream"]
            sample = Sample("main", 1_795_345_200_000, (Reading("voltage", 230.0, "V"),))
            desk.agent._sealer.add(sample)
            desk.edit("unit: 2", "unit: 7")
            await desk.ask(command="reload")
            now = await desk.ask()
            assert now["stream"] == stream
            pending = now["pending_readings"]
            assert isinstance(pending, int)
        return pending

    pending = asyncio.run(asyncio.wait_for(play(), 30))
    spool = Spool(desk.directory / "spool.sqlite", keep_confirmed_ms=0)
    assert 1 <= pending <= spool.totals().sealed_readings
    spool.close()


def test_urgent_and_intervals_follow(desk: Desk) -> None:
    """Without a word on the bus where only the agent is concerned."""

    async def play() -> None:
        async with desk.running():
            assert (await desk.device("gym"))["urgent"] is False
            desk.edit("unit: 2, interval_s: 3600", "unit: 2, interval_s: 1800, urgent: true")
            desk.edit("clock: trusted", "clock: trusted\ninterval_s: 5")
            await desk.ask(command="reload")
            gym = await desk.device("gym")
            assert (gym["urgent"], gym["interval_s"]) == (True, 1800)
            assert desk.agent._condition.interval_s == 5

    asyncio.run(asyncio.wait_for(play(), 30))


def test_a_broken_secret_is_a_bad_file(desk: Desk) -> None:
    """The connection that works is not given up for one that cannot."""

    async def play() -> None:
        async with desk.running():
            connection = desk.agent._link._connection
            desk.edit("port: 1}", f"port: 1, user: gw, password_file: {desk.directory}/none}}")
            with pytest.raises(ConfigError, match="none:1:1: found no readable file"):
                await desk.ask(command="reload")
            assert desk.agent._link._connection is connection
            desk.edit(f", user: gw, password_file: {desk.directory}/none", "")
            desk.edit("port: 1}", "port: 2}")
            await desk.ask(command="reload")
            assert desk.agent._link._connection is not connection
            assert (await desk.ask())["broker"] == "127.0.0.1:2"

    asyncio.run(asyncio.wait_for(play(), 30))


def test_a_reload_whose_asker_gives_up_is_taken_whole(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that takes too long, or an agent that stops, leaves no bus between two configurations."""

    async def play() -> None:
        async with desk.running():
            buses, begun = desk.agent._buses, asyncio.Event()
            apply = buses.apply

            async def slowly(config: GatewayConfig) -> None:
                begun.set()
                await asyncio.sleep(0.01)
                await apply(config)

            monkeypatch.setattr(buses, "apply", slowly)
            desk.edit("unit: 2", "unit: 7")
            asking = asyncio.create_task(desk.agent.reload())
            await begun.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            async with desk.agent._reloading:
                poller = buses.poller("gym")
            assert poller is not None
            assert "unit=7" in str(poller.plan)

    asyncio.run(asyncio.wait_for(play(), 30))


def test_before_it_is_up_nothing_is_reloaded(desk: Desk) -> None:
    """A signal may come at any time."""
    with pytest.raises(TransientError, match="starting or ending"):
        asyncio.run(desk.agent.reload())


def test_resend_puts_back_what_was_confirmed(desk: Desk) -> None:
    """And says how many batches; of a time that it does not have, none."""
    spool = Spool(desk.directory / "spool.sqlite", keep_confirmed_ms=2**50)
    sample = Sample("main", 1_795_345_200_000, (Reading("voltage", 230.0, "V"),))
    (number,) = spool.seal([[sample]], Settled(), 1_795_345_200_001)
    spool.mark(Settled(frozenset({number})), 1_795_345_200_002)
    spool.close()

    async def play() -> None:
        async with desk.running():
            at_ms = sample.measured_at_ms
            assert (await desk.ask(command="resend", from_ms=at_ms, to_ms=at_ms))["batches"] == 1
            assert (await desk.ask(command="resend", from_ms=0, to_ms=1))["batches"] == 0
            assert (await desk.ask())["confirmed_batches"] == 0

    asyncio.run(asyncio.wait_for(play(), 30))


def test_an_agent_whose_spool_is_ill_still_says_how_it_is(desk: Desk) -> None:
    """A directory lies where the spool should be: its error is a member; once it is gone, so is the error."""
    (desk.directory / "spool.sqlite").mkdir()

    async def play() -> None:
        async with desk.running():
            await desk.agent._sealer.seal()
            ill = await desk.ask()
            (desk.directory / "spool.sqlite").rmdir()
            assert await desk.agent._sealer.seal()
            well = await desk.ask()
        assert "spool.sqlite" in str(ill["spool_error"])
        assert "spool.sqlite" in str(ill["seal_error"])
        assert isinstance(ill["buses"], list)
        assert [bus["id"] for bus in ill["buses"]] == ["hall", "cellar"]
        assert (well["spool_error"], well["seal_error"]) == ("", "")
        assert "sealed_readings" in well

    asyncio.run(asyncio.wait_for(play(), 30))


def test_an_agent_that_rescues_its_spool_still_says_how_it_is(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes minutes: whoever asks hears at once that it runs, also whoever asked before it began."""
    monkeypatch.setattr(description, "ANSWER_S", 0.5)
    is_over, began = threading.Event(), threading.Event()

    def rescue(*_: object) -> None:
        began.set()
        assert is_over.wait(20)

    async def play() -> None:
        async with desk.running():
            monkeypatch.setattr("gateway.rescue.rescue", rescue)
            sealing = asyncio.create_task(desk.agent._spool.run(lambda spool: spool._rescue(CorruptError("damaged"))))
            assert await asyncio.to_thread(began.wait, 20)
            asked_s = time.monotonic()
            during = await desk.ask()
            assert time.monotonic() - asked_s < description.ANSWER_S
            condition = await desk.agent._condition.read()
            is_over.set()
            await sealing
            asleep = asyncio.create_task(desk.agent._spool.run(lambda _: time.sleep(1)))
            hanging = await desk.ask()
            await asleep
            after = await desk.ask()
        assert "damaged; what can be read is being saved, for 0 s now" in str(during["spool_error"])
        assert isinstance(during["buses"], list)
        assert "uptime" in {reading.quantity for reading in condition.readings}
        assert "the disk has not answered" in str(hanging["spool_error"])
        assert after["spool_error"] == ""

    asyncio.run(asyncio.wait_for(play(), 30))
