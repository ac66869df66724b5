"""The open bus: what devices say becomes samples, what they are told waits for them."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from lora_packet import Keys
from lorawan_site import APP_KEY, FIXED, HOST, JOINER, KEYS, in_loop

from base import strict_yaml
from base.errors import PermanentError, TransientError
from edge.drivers import plan_bus
from edge.interface import CommandableBus, CountingBus, EventfulBus, NoAnswerError, ParkedError
from edge.lorawan.udp import bus as buses
from edge.lorawan.udp.bus import LorawanUdpBus
from edge.lorawan.udp.driver import LorawanUdpPlan
from simulator.concentrator import Concentrator
from wire.command import Configure, Downlink

from servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lora_packet import LoraPacket

    from edge.interface import Heard

pytestmark = pytest.mark.slow
"""As for the network server."""

WAIT_S = 30
PAYLOAD = bytes.fromhex("0100e202290400270506060308070d62")
"""A message of Elsys' own page: 22.6 degrees, 41 %, light 39, motion 6, CO2 776 ppm, 3426 mV."""


def _plan(directory: Path, port: int, *, hall: str = "hall") -> LorawanUdpPlan:
    keys = directory / "keys.yaml"
    keys.write_text(
        f"{JOINER}: {{app_key: {APP_KEY}}}\n"
        f"{FIXED}: {{dev_addr: {KEYS.dev_addr}, nwk_s_key: {KEYS.nwk_s_key}, app_s_key: {KEYS.app_s_key}}}\n"
    )
    keys.chmod(0o600)
    text = f"""\
- id: roof
  driver: lorawan_udp
  listen: {HOST}:{port}
  keys: keys.yaml
  state: state.sqlite
  devices:
    - {{id: room, profile: elsys/ers-co2, site: school, dev_eui: {JOINER}}}
    - {{id: {hall}, profile: elsys/ers-co2, site: school, dev_eui: {FIXED}}}
"""
    plan = plan_bus(strict_yaml.parse(text.encode(), directory / "gw.yaml"), (0,))
    assert isinstance(plan, LorawanUdpPlan)
    return plan


@asynccontextmanager
async def _open(directory: Path) -> AsyncIterator[tuple[LorawanUdpBus, Concentrator, int]]:
    port = free_port()
    bus = _plan(directory, port).open()
    assert isinstance(bus, LorawanUdpBus)
    first = asyncio.create_task(bus.heard())  # as the poller does
    async with Concentrator(HOST, port) as concentrator:
        await concentrator.is_served()
        first.cancel()
        yield bus, concentrator, port
    await bus.close()


async def _heard(bus: LorawanUdpBus) -> Heard:
    async with asyncio.timeout(WAIT_S):
        return await bus.heard()


@in_loop
async def test_what_a_device_says_becomes_a_sample(tmp_path: Path, packets: LoraPacket) -> None:
    """Measured values and the radio's, and what is to be committed before they are sealed."""
    async with _open(tmp_path) as (bus, concentrator, _):
        assert isinstance(bus, EventfulBus)
        assert isinstance(bus, CommandableBus)
        assert isinstance(bus, CountingBus)
        concentrator.push(packets.uplink(KEYS, 3, PAYLOAD, f_port=5))
        heard = await _heard(bus)
        values = {reading.name: reading.value for reading in heard.measured.readings}
        assert heard.device == "hall"
        assert (values["temp_air"], values["humidity"], values["co2_indoor"]) == (22.6, 41, 776)
        assert (values["rssi"], values["spreading_factor"], values["frames_lost"]) == (-57, 7, 0)
        assert heard.measured.at_s <= time.monotonic()
        assert heard.before_sealing is not None
        with pytest.raises(ParkedError):
            await bus.read("hall")
        assert bus.traffic("hall") == (1, 0)


@in_loop
async def test_a_join_and_a_message_in_its_session(tmp_path: Path, packets: LoraPacket) -> None:
    """The whole way of a new device."""
    async with _open(tmp_path) as (bus, concentrator, _):
        concentrator.push(packets.join_request(APP_KEY, JOINER, 5))
        accept = packets.open_accept(APP_KEY, (await concentrator.ordered.get()).phy, 5)
        keys = Keys(accept["dev_addr"], accept["nwk_s_key"], accept["app_s_key"])
        concentrator.push(packets.uplink(keys, 0, PAYLOAD, f_port=5))
        assert (await _heard(bus)).device == "room"


@in_loop
async def test_a_message_that_cannot_be_decoded_still_tells_of_the_radio(tmp_path: Path, packets: LoraPacket) -> None:
    """It counts as an error of its device, and its counter is committed like any other's."""
    async with _open(tmp_path) as (bus, concentrator, _):
        concentrator.push(packets.uplink(KEYS, 0, b"\xff\xff\xff", f_port=5))
        heard = await _heard(bus)
        assert {"rssi", "snr", "airtime"} <= {reading.name for reading in heard.measured.readings}
        assert heard.before_sealing is not None
        assert bus.traffic("hall") in {(1, 0), (1, 1)}  # as the codec likes such a message


@in_loop
async def test_a_downlink_is_told_to_the_device(tmp_path: Path, packets: LoraPacket) -> None:
    """Queued at once, sent after the device has spoken; the next command tells what became of it."""
    async with _open(tmp_path) as (bus, concentrator, _):
        order = Downlink(device="hall", payload="3e01", port=6)
        said = await bus.carry_out(order)
        assert (said["state"], said["port"], said["payload"], said["before"]) == ("queued", 6, "3e01", [])
        concentrator.push(packets.uplink(KEYS, 0, PAYLOAD, f_port=5))
        down = packets.open_downlink(KEYS, (await concentrator.ordered.get()).phy)
        assert (down["f_port"], down["payload"]) == (6, "3e01")
        await _heard(bus)
        await asyncio.sleep(0.1)
        assert [each["state"] for each in (await bus.carry_out(order))["before"]] == ["sent"]


@in_loop
async def test_what_cannot_be_told_is_refused(tmp_path: Path) -> None:
    """A downlink without a port, a setting that the profile does not declare, a network that is not open."""
    async with _open(tmp_path) as (bus, _, _):
        with pytest.raises(PermanentError, match="FPort"):
            await bus.carry_out(Downlink(device="hall", payload="00"))
        with pytest.raises(PermanentError, match="no setting 'colour'"):
            await bus.carry_out(Configure(device="hall", setting="colour", value=1))
    with pytest.raises(TransientError, match="not open"):
        await bus.carry_out(Downlink(device="hall", payload="00", port=1))


@in_loop
async def test_a_reload_goes_on_with_the_open_socket(tmp_path: Path, packets: LoraPacket) -> None:
    """Sessions stay, and a message that was under way is not lost."""
    async with _open(tmp_path) as (bus, concentrator, port):
        concentrator.push(packets.uplink(KEYS, 3, PAYLOAD, f_port=5))
        await _heard(bus)
        concentrator.push(packets.uplink(KEYS, 4, PAYLOAD, f_port=5))
        listening = asyncio.create_task(bus.heard())
        await asyncio.sleep(0.25)  # the frame is being decoded, or is just about to be
        listening.cancel()
        await asyncio.wait({listening})
        bus.follow(_plan(tmp_path, port, hall="aula"))
        heard = await _heard(bus) if listening.cancelled() else listening.result()
        assert heard.measured.readings
        concentrator.push(packets.uplink(KEYS, 3, PAYLOAD, f_port=5))
        concentrator.push(packets.uplink(KEYS, 5, PAYLOAD, f_port=5))
        assert (await _heard(bus)).device == "aula"
        assert bus.counts()["replay"] == 1


@in_loop
async def test_a_silent_device_is_said_to_be_silent_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At first it may yet speak; then it counts as silent, with what is known of the reason."""
    async with _open(tmp_path) as (bus, concentrator, _):
        with pytest.raises(ParkedError):
            await bus.read("room")
        monkeypatch.setattr(buses, "LEAST_PATIENCE_S", 0.0)
        monkeypatch.setattr(buses, "PATIENCE", 0.0)
        with pytest.raises(NoAnswerError, match=f"{JOINER}: nothing heard"):
            await bus.read("room")
        concentrator.push(bytes(0))
    with pytest.raises(NoAnswerError, match="nothing heard"):
        await bus.read("room")


@in_loop
async def test_a_taken_port_is_tried_again(tmp_path: Path, packets: LoraPacket) -> None:
    """The device is silent with that reason, and the bus goes on when the port is free."""
    port = free_port()
    holder, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=(HOST, port)
    )
    bus = _plan(tmp_path, port).open()
    assert isinstance(bus, LorawanUdpBus)
    waiting = asyncio.create_task(bus.heard())
    async with asyncio.timeout(WAIT_S):
        while "cannot listen" not in bus._why:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
    holder.close()
    async with Concentrator(HOST, port) as concentrator:
        await concentrator.is_served()
        concentrator.push(packets.uplink(KEYS, 3, PAYLOAD, f_port=5))
        async with asyncio.timeout(WAIT_S):
            assert (await waiting).device == "hall"
    await bus.close()
