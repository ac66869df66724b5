"""kill -9 of an agent with a LoRaWAN network of its own: devices go on, and no frame counts twice."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import yaml
from lorawan_site import APP_KEY, HOST, JOINER, in_loop

from gateway import status
from gateway.spool import Spool
from simulator.concentrator import Concentrator
from simulator.lorawan import EndDevice, Heard
from wire import batch as wire_batch

from chain import Messnetz
from servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NEVER_S = 3600.0
"""Between seals: only the first of an agent, and its last, are made."""
PORT = 5
WAIT_S = 40.0


class Town:
    """An agent on a town of one device, and the device."""

    def __init__(self, directory: Path, *, seal_interval_s: float) -> None:
        self.port = free_port()
        self._spool, self._socket = directory / "spool.sqlite", directory / "agent.sock"
        keys = directory / "keys.yaml"
        keys.write_text(f"{JOINER}: {{app_key: {APP_KEY}}}\n")
        keys.chmod(0o600)
        device = {"id": "room", "profile": "elsys/ers-co2", "site": "school", "dev_eui": JOINER}
        bus = {"id": "roof", "driver": "lorawan_udp", "listen": f"{HOST}:{self.port}", "devices": [device]}
        file = directory / "gw.yaml"
        content = {
            "gateway": "gw",
            "clock": "trusted",
            "mqtt": {"host": HOST, "port": free_port()},  # nobody is there: what counts is on the disk
            "spool": {"path": str(self._spool), "seal_interval_s": seal_interval_s, "floor_mb": 0},
            "socket": str(self._socket),
            "buses": [{**bus, "keys": str(keys), "state": str(directory / "lorawan.sqlite")}],
        }
        file.write_text(yaml.safe_dump(content))
        self.agent = Messnetz(directory / "agent", "gateway", file, self._socket)
        self.device = EndDevice(JOINER, APP_KEY)
        self.sent: list[bytes] = []
        """Every uplink, as anybody could have recorded it."""

    @asynccontextmanager
    async def concentrator(self) -> AsyncIterator[Concentrator]:
        """Run the concentrator; it stays while the agent goes and comes."""
        async with Concentrator(HOST, self.port, keepalive_s=0.3) as concentrator:
            try:
                yield concentrator
            finally:
                await asyncio.to_thread(self.agent.stop)

    async def start(self, concentrator: Concentrator) -> None:
        """Start the agent, and wait until its network answers."""
        await asyncio.to_thread(self.agent.start)
        async with asyncio.timeout(WAIT_S):
            await concentrator.is_served()

    async def join(self, concentrator: Concentrator) -> None:
        """Have the device ask until it is let in."""
        while True:
            concentrator.push(self.device.join_request())
            while (phy := await _ordered(concentrator)) is not None:
                if self.device.take_accept(phy):
                    return

    def uplink(self, value: int) -> bytes:
        """Have the device say a temperature, in tenths of a degree; it is to be acknowledged."""
        frame = self.device.uplink(PORT, bytes([0x01]) + value.to_bytes(2, "big"), confirmed=True)
        self.sent.append(frame)
        return frame

    async def say(self, concentrator: Concentrator, frame: bytes, *, tries: int = 8) -> bool:
        """Send a frame until it is acknowledged; returns whether it was."""
        for _ in range(tries):
            concentrator.push(frame)
            while (phy := await _ordered(concentrator)) is not None:
                heard: Heard | None = self.device.take_downlink(phy)
                if heard is not None and heard.is_ack:
                    return True
        return False

    async def seal(self) -> None:
        """Have all that is pending sealed now, as `messnetz gateway resend` does before it looks for its batches."""
        said = await asyncio.to_thread(lambda: status.ask(self._socket, command="resend", from_ms=0, to_ms=0))
        assert said is not None, self.agent.log()

    def temperatures(self) -> Counter[int]:
        """Return every temperature that was sealed, in tenths of a degree."""
        spool = Spool(self._spool, keep_confirmed_ms=2**62)
        try:
            batches = [spool.get(number) for number in range(1, spool.totals().sealed_batches + 1)]
        finally:
            spool.close()
        found: Counter[int] = Counter()
        for batch in batches:
            assert batch is not None
            header, packed = wire_batch.open_header(batch.payload())
            for sample in wire_batch.open_pack(header, packed):
                found.update(round(r.value * 10) for r in sample.readings if r.quantity == "temp_air")
        return found


async def _ordered(concentrator: Concentrator) -> bytes | None:
    """Return the next downlink; None where none comes."""
    try:
        async with asyncio.timeout(1.5):
            return (await concentrator.ordered.get()).phy
    except TimeoutError:
        return None


async def _drain(concentrator: Concentrator) -> None:
    """Let downlinks that are under way come."""
    while await _ordered(concentrator) is not None:
        pass


@in_loop
async def test_a_device_that_has_joined_goes_on_after_a_kill(tmp_path: Path) -> None:
    """Between the accept and the first uplink: the session was on disk before the accept was sent."""
    town = Town(tmp_path, seal_interval_s=NEVER_S)
    async with town.concentrator() as concentrator:
        await town.start(concentrator)
        await town.join(concentrator)
        town.agent.kill()
        await town.start(concentrator)
        assert await town.say(concentrator, town.uplink(215))
    assert town.temperatures() == {215: 1}


@in_loop
async def test_what_was_not_sealed_is_taken_again_and_what_was_is_not(tmp_path: Path) -> None:
    """Between uplink and seal: the device repeats what it holds for unheard, somebody else what he has recorded."""
    town = Town(tmp_path, seal_interval_s=NEVER_S)
    async with town.concentrator() as concentrator:
        await town.start(concentrator)
        await town.join(concentrator)
        sealed = town.uplink(201)
        assert await town.say(concentrator, sealed)
        await town.seal()
        unsealed = town.uplink(202)
        concentrator.push(unsealed)
        assert await _ordered(concentrator) is not None
        town.agent.kill()
        await town.start(concentrator)
        assert await town.say(concentrator, unsealed)
        for recorded in (sealed, unsealed):
            concentrator.push(recorded)
        await _drain(concentrator)
        assert await town.say(concentrator, town.uplink(203))
    assert town.temperatures() == {201: 1, 202: 1, 203: 1}


@in_loop
async def test_no_frame_counts_twice_whenever_the_agent_dies(tmp_path: Path) -> None:
    """At moments that nobody chose; after each death all that was ever sent is sent again, as an attacker would."""
    seed = int(os.environ.get("MESSNETZ_CHAOS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"MESSNETZ_CHAOS_SEED={seed}")  # noqa: T201 - pytest shows it where the test fails
    chance = random.Random(seed)  # noqa: S311 - no secret
    town = Town(tmp_path, seal_interval_s=0.2)
    value = 100
    async with town.concentrator() as concentrator:
        await town.start(concentrator)
        await town.join(concentrator)
        for _ in range(6):
            for _ in range(chance.randrange(1, 4)):
                value += 1
                concentrator.push(town.uplink(value))
                await asyncio.sleep(chance.uniform(0.0, 0.8))  # the moment is what is tried here
            town.agent.kill()
            await town.start(concentrator)
            for recorded in town.sent:
                concentrator.push(recorded)
        await _drain(concentrator)
        last = town.uplink(999)
        assert await town.say(concentrator, last)
    temperatures = town.temperatures()
    assert max(temperatures.values()) == 1, temperatures
    assert temperatures[999] == 1
    assert set(temperatures) <= {*range(101, value + 1), 999}
