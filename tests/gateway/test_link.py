"""The agent's connection, on a broker that is scripted packet by packet."""

from __future__ import annotations

import asyncio
from queue import Queue
from typing import TYPE_CHECKING

from gateway import config
from gateway.link import Link

from mqtt_doubles import PATIENCE_S, PUBLISH, Client, FakeBroker

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
gateway: town-hall-gw
clock: trusted
mqtt: {{host: 127.0.0.1, port: {port}, protocol: '5'}}
buses:
  - id: hall
    driver: modbus
    tcp: 127.0.0.1:1
    devices:
      - {{id: main, profile: eastron/sdm630, site: s, unit: 1, interval_s: 60}}
"""


class Agent:
    """Who hears of the connection, and publishes its status as the agent does."""

    def __init__(self) -> None:
        self.link = Link(self, self.will)
        self.hash = "old"

    def will(self) -> bytes:
        """Name the configuration in force."""
        return f"offline under {self.hash}".encode()

    def connected(self) -> None:
        """Take a new configuration, and say so."""
        self.hash = "new"
        self.link.publish_status(b"online")

    def disconnected(self) -> None:
        """Nothing to do."""

    def confirmed(self, payload: bytes) -> None:
        """Nothing to do."""

    def commanded(self, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - as Receiver has it
        """Nothing to do."""


def test_the_will_follows_a_reload_with_the_next_connection(tmp_path: Path) -> None:
    """The connection that stands is not cut for it."""
    connects: Queue[bytes] = Queue()

    def hear_status(client: Client) -> None:
        client.accept()
        client.grant()
        client.read(PUBLISH)
        connects.put(client.connect)

    def stay(client: Client) -> None:
        connects.put(client.connect)
        client.accept()
        client.grant()
        client.wait_until_gone()

    async def play(port: int) -> list[bytes]:
        file = tmp_path / "gw.yaml"
        file.write_text(FILE.format(port=port))
        loaded, agent = config.load(file).file, Agent()
        await agent.link.switch(agent.link.prepare(loaded, None), loaded)
        bodies = [await asyncio.to_thread(connects.get, timeout=PATIENCE_S) for _ in range(2)]
        await agent.link.stop()
        return bodies

    with FakeBroker([hear_status, stay]) as broker:
        first, second = asyncio.run(play(broker.port))
    assert b"messnetz/town-hall-gw/status" in first
    assert b"offline under old" in first
    assert b"messnetz/town-hall-gw/status" in second
    assert b"offline under new" in second
