"""Meters by radio: receivers on a pseudo-terminal, messages on a broker, settings that are wrong."""

from __future__ import annotations

import asyncio
import functools
import json
import math
import os
import random
import tty
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import ConfigError
from base.strict_yaml import parse
from edge.drivers import plan_bus
from edge.interface import EventfulBus, NoAnswerError, ParkedError
from edge.mqtt_bus import MqttPlan, Topic
from edge.mqtt_source import Message
from edge.wmbus import bus as wmbus_bus
from edge.wmbus import link
from edge.wmbus.bus import ReceiverBus
from edge.wmbus.driver import ReceiverPlan
from edge.wmbus.meters import Meters
from edge.wmbus.mqtt import wanted
from edge.wmbus.receivers import RECEIVERS, Name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from edge.interface import BusPlan, Measured

P = ParamSpec("P")
IPERL = "1844AE4C4455223368077A55000000041389E20100023B0000"
"""A water meter in the clear: 123.529 m3 (wmbusmeters, simulations/simulation_t1.txt)."""
MULTICAL = "2A442D2C998734761B168D2091D37CAC21E1D68CDAFFCD3DC452BD802913FF7B1706CA9E355D6C2701CC24"
MULTICAL_KEY = "28F64A24988064A079AA2C807D6102AE"
METERS = (
    "{id: water, profile: generic/wmbus-water, site: town, number: '33225544', interval_s: 60}",
    "{id: cold, profile: kamstrup/multical-21, site: town, number: '76348799', maker: KAM, interval_s: 60}",
)


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test's coroutine."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def planned(settings_: str, *meters: str, file: Path) -> BusPlan:
    """Check a bus."""
    rows = "\n".join(f"  - {meter}" for meter in meters or METERS)
    text = f"gateway: gw\nbuses:\n- id: radio\n  driver: wmbus\n{settings_}\n  devices:\n{rows}\n"
    return plan_bus(parse(text.replace("\n  - ", "\n    - ").encode(), file), ("buses", 0))


def volumes(measured: Measured) -> dict[str, float]:
    """What was read."""
    return {reading.name: reading.value for reading in measured.readings}


def with_checksums(text: str) -> bytes:
    """Put the checksums of format A into a telegram."""
    plain, data = bytes.fromhex(text), b""
    for start, end in [(0, 10), *((at, at + 16) for at in range(10, len(plain), 16))]:
        block = plain[start:end]
        data += block + link.crc(block).to_bytes(2, "big")
    return data


def of_cul(text: str) -> bytes:
    """What culfw writes of a telegram in mode T."""
    return b"b" + with_checksums(text).hex().upper().encode() + b"A53C\r\n"


def of_im871a(text: str) -> bytes:
    """What an iM871A writes, with time, signal strength and checksum behind."""
    content = bytes.fromhex(text)[1:]
    frame = bytes((0xE2, 0x03, len(content))) + content + b"\x01\x02\x03\x04\x55"
    return b"\xa5" + frame + x25(frame).to_bytes(2, "little")


def x25(data: bytes) -> int:
    """CRC-16/X-25 by long division: every byte mirrored, all bits of the first two and of the rest turned over."""
    bits = int("".join(f"{byte:08b}"[::-1] for byte in data), 2)
    rest = (bits ^ 0xFFFF << 8 * len(data) - 16) << 16
    while rest.bit_length() > 16:
        rest ^= 0x1_1021 << rest.bit_length() - 17
    return int(f"{rest ^ 0xFFFF:016b}"[::-1], 2)


def of_hex(text: str) -> bytes:
    """What rtl_wmbus writes."""
    return f"T1;1;1;2026-11-22 19:00:42.000;97;148;33225544;0x{text.lower()}\n".encode()


SPEAKERS: dict[Name, Callable[[str], bytes]] = {"cul": of_cul, "im871a": of_im871a, "hex": of_hex}


class Stick:
    """The far end of a serial port, found under a link."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard = b""
        self._ends = (-1, -1)

    def plug(self) -> None:
        """Make the port."""
        self._ends = os.openpty()
        tty.setraw(self._ends[1])
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(self._ends[1]))
        asyncio.get_running_loop().add_reader(self._ends[0], self._hear)

    def unplug(self) -> None:
        """Pull it out."""
        asyncio.get_running_loop().remove_reader(self._ends[0])
        for end in self._ends:
            os.close(end)

    def say(self, data: bytes) -> None:
        """Write what was heard by radio."""
        os.write(self._ends[0], data)

    def _hear(self) -> None:
        with suppress(OSError):
            self.heard += os.read(self._ends[0], 4096)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never was")


@asynccontextmanager
async def at_work(stick: Stick, plan: BusPlan) -> AsyncIterator[tuple[ReceiverBus, asyncio.Task[Any]]]:
    """Plug a stick in, open the bus, and wait until it was told its mode."""
    assert isinstance(plan, ReceiverPlan)
    stick.plug()
    bus = plan.open()
    assert isinstance(bus, ReceiverBus)
    assert isinstance(bus, EventfulBus)
    first = asyncio.ensure_future(bus.heard())
    await until(lambda: not bus._line.why)
    try:
        yield bus, first
    finally:
        first.cancel()
        await bus.close()
        stick.unplug()


@pytest.mark.parametrize("receiver", list(SPEAKERS))
@on_a_loop
async def test_telegrams_of_a_receiver_are_readings(tmp_path: Path, receiver: Name) -> None:
    """It is told its mode; noise and other meters are passed over; what it packs is unpacked."""
    stick = Stick(tmp_path / "stick")
    plan = planned(f"  serial: {stick.path}\n  receiver: {receiver}\n  mode: C", file=tmp_path)
    async with at_work(stick, plan) as (bus, first):
        said = SPEAKERS[receiver](IPERL)
        other = SPEAKERS[receiver](IPERL.replace("44552233", "44552299"))
        stick.say(b"\xff\x00noise\r\n" + other + said[:20])
        stick.say(said[20:])
        heard = await first
        assert (heard.device, volumes(heard.measured)) == ("water", {"water_volume": 123.529, "flow_rate": 0.0})
        with pytest.raises(ParkedError):
            await bus.read("water")
        assert bus.traffic("water") == (1, 0)
        assert stick.heard == RECEIVERS[receiver].modes.get("C", b"")


@on_a_loop
async def test_a_fault_of_ours_costs_the_telegram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is raised once, for the log; then the receiver is heard as before."""
    stick = Stick(tmp_path / "stick")
    async with at_work(stick, planned(f"  serial: {stick.path}\n  receiver: hex", file=tmp_path)) as (bus, first):
        with monkeypatch.context() as faulty:
            faulty.setattr(bus._meters, "telegram", lambda *_, **__: 1 // 0)
            stick.say(of_hex(IPERL))
            with pytest.raises(ZeroDivisionError):
                await first
        again = asyncio.ensure_future(bus.heard())

        def is_heard() -> bool:
            stick.say(of_hex(IPERL))  # what came before the port is open again is not heard
            return again.done()

        await until(is_heard)
        assert (await again).device == "water"


@on_a_loop
async def test_one_telegram_of_an_interval_is_taken(tmp_path: Path) -> None:
    """The others show that the meter is there."""
    stick = Stick(tmp_path / "stick")
    async with at_work(stick, planned(f"  serial: {stick.path}\n  receiver: hex", file=tmp_path)) as (bus, first):
        stick.say(of_hex(IPERL) * 5)
        await first
        assert bus.traffic("water") == (5, 0)
        assert not bus._samples


@on_a_loop
async def test_encrypted_without_a_key_is_a_state(tmp_path: Path) -> None:
    """No value and no other error; as soon as the key file has it, its values."""
    stick = Stick(tmp_path / "stick")
    keys = tmp_path / "keys"
    plan = planned(f"  serial: {stick.path}\n  receiver: hex\n  key_file: {keys}", file=tmp_path)
    async with at_work(stick, plan) as (bus, first):
        stick.say(of_hex(MULTICAL))
        await until(lambda: bus.traffic("cold").requests > 0)
        bus._hearing._began_s -= 1000
        with pytest.raises(NoAnswerError, match=r"encrypted .*, and the key of 76348799 is not known"):
            await bus.read("cold")
        assert bus.traffic("cold") == (1, 1)
        keys.write_text(f"76348799: {MULTICAL_KEY}\n")
        keys.chmod(0o600)
        bus._meters._decoder._keys._looked_s = None  # type: ignore[attr-defined]
        stick.say(of_hex(MULTICAL))
        heard = await first
        assert (heard.device, volumes(heard.measured)) == ("cold", {"water_volume": 6.408})
        with pytest.raises(ParkedError):
            await bus.read("cold")


@on_a_loop
async def test_a_pulled_receiver_comes_back(tmp_path: Path) -> None:
    """It is opened again, and told its mode again."""
    stick = Stick(tmp_path / "stick")
    async with at_work(stick, planned(f"  serial: {stick.path}\n  receiver: cul", file=tmp_path)) as (bus, first):
        mode = RECEIVERS["cul"].modes["T"]
        await until(lambda: stick.heard == mode)
        stick.unplug()
        await until(lambda: bool(bus._line.why))
        stick.plug()
        await until(lambda: not bus._line.why)
        stick.say(of_cul(IPERL))
        assert (await first).device == "water"
        await until(lambda: stick.heard == mode * 2)


IM871A_EXAMPLE = "a5820327442d2c5768663230028d20cd12340720519df247ff65e751662a300bc4e5c67da86477f0182637c1ab"
"""A frame that one wrote, with its checksum (E5PRO5-2020/meter_system, utils/crc16_im871a.py)."""


def test_a_frame_of_an_im871a_is_taken_only_whole() -> None:
    """Its checksum protects the way from the stick to the gateway; behind a damaged frame the next is found."""
    frame = bytes.fromhex(IM871A_EXAMPLE)
    (good,) = RECEIVERS["im871a"].unpacker().feed(frame)
    assert good.telegram == bytes([frame[3]]) + frame[4:-2]
    for bit in range(8 * 4, 8 * len(frame)):
        wrong = bytearray(frame)
        wrong[bit // 8] ^= 1 << bit % 8
        found = RECEIVERS["im871a"].unpacker().feed(bytes(wrong) + frame * 6)  # a byte may seem to begin a long frame
        assert set(found) == {good}


@on_a_loop
async def test_what_rtl_wmbus_calls_damaged_is_passed_over(tmp_path: Path) -> None:
    """It removes checksums that are wrong, too, and says so in front: no value comes of that."""
    stick = Stick(tmp_path / "stick")
    async with at_work(stick, planned(f"  serial: {stick.path}\n  receiver: hex", file=tmp_path)) as (bus, first):
        other = of_hex(IPERL.replace("89E20100", "89E20200"))
        stick.say(other.replace(b"T1;1;1;", b"T1;0;1;") + other.replace(b"T1;1;1;", b"T1;1;0;") + of_hex(IPERL))
        assert volumes((await first).measured)["water_volume"] == 123.529
        assert bus.traffic("water") == (1, 0)


@on_a_loop
async def test_what_comes_damaged_counts_for_whoever_sent_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first block of format A says who, by a checksum of its own; said once, however often it happens."""
    stick = Stick(tmp_path / "stick")
    async with at_work(stick, planned(f"  serial: {stick.path}\n  receiver: cul", file=tmp_path)) as (bus, first):
        good = of_cul(IPERL)
        sender_spoilt = good.replace(b"44552233", b"44552234", 1)
        value_spoilt = good.replace(b"89E2", b"89E3", 1)
        cut = good[:-20] + b"\r\n"
        stick.say(sender_spoilt + value_spoilt + good + cut)
        assert volumes((await first).measured)["water_volume"] == 123.529
        await until(lambda: bus.traffic("water") == (3, 2))
    assert caplog.text.count("damaged on its way") == 1


@pytest.mark.parametrize("receiver", list(SPEAKERS))
@on_a_loop
async def test_what_broke_off_spoils_nothing_after_a_pause(
    tmp_path: Path, receiver: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What seems to begin a long frame, or half a line: the next telegram is read when it comes, not when more has."""
    monkeypatch.setattr(wmbus_bus, "PAUSE_S", 0.05)
    stick = Stick(tmp_path / "stick")
    async with at_work(stick, planned(f"  serial: {stick.path}\n  receiver: {receiver}", file=tmp_path)) as (_, first):
        stick.say(b"\xa5\x22\x03\xff" if receiver == "im871a" else SPEAKERS[receiver](IPERL)[:-9])
        await asyncio.sleep(0.2)
        stick.say(SPEAKERS[receiver](IPERL))
        async with asyncio.timeout(5):
            assert (await first).device == "water"


def spoilt(said: bytes, chance: random.Random) -> bytes:
    """A telegram as radio and a bad plug leave it: a digit changed, cut short, or noise around it."""
    match chance.randrange(3):
        case 0:
            at = chance.randrange(1, len(said) - 6)
            return said[:at] + chance.choice(b"0123456789ABCDEFxyz").to_bytes() + said[at + 1 :]
        case 1:
            return said[: chance.randrange(len(said))] + b"\r\n"
    return chance.randbytes(30) + said


@pytest.mark.slow
@on_a_loop
async def test_an_hour_of_noise_gives_no_wrong_value(tmp_path: Path) -> None:
    """A telegram every 16 s, one in five spoilt, and the port pulled now and then: what arrives is what was sent."""
    stick, chance = Stick(tmp_path / "stick"), random.Random(7)  # noqa: S311 - no secret
    meter = METERS[0].replace("interval_s: 60", "interval_s: 0.1")
    sent: set[float] = set()
    got: list[float] = []
    async with at_work(stick, planned(f"  serial: {stick.path}\n  receiver: cul", meter, file=tmp_path)) as (
        bus,
        first,
    ):
        bus._meters._taken_s = _Forgetful()  # each telegram is an interval of its own
        for litres in range(1000, 1225):
            if litres % 75 == 0:
                stick.unplug()
                await until(lambda: bool(bus._line.why))
                stick.plug()
                await until(lambda: not bus._line.why)
            said = of_cul(IPERL.replace("89E20100", litres.to_bytes(4, "little").hex().upper()))
            sent.add(litres / 1000)
            if chance.random() < 0.2:
                stick.say(spoilt(said, chance))
                continue
            before = bus.traffic("water").requests
            stick.say(b"\r\n" + said)
            await until(lambda before=before: bus.traffic("water").requests > before)  # type: ignore[misc]
        got.append(volumes((await first).measured)["water_volume"])
        while bus._samples:
            got.append(volumes((await bus.heard()).measured)["water_volume"])
    assert set(got) <= sent
    assert got == sorted(got)
    assert len(set(got)) > 170


class _Forgetful(dict[str, float]):
    def get(self, *_: object) -> None:  # type: ignore[override]
        return None


@pytest.mark.slow
@settings(max_examples=200, derandomize=True)
@given(st.sampled_from(list(SPEAKERS)), st.lists(st.binary(max_size=60), max_size=20), st.integers(1, 40))
def test_no_noise_stops_a_receiver(receiver: Name, noise: list[bytes], cut: int) -> None:
    """Whatever stands before it and however it is cut: a telegram is found, and what is kept is bounded."""
    unpacker = RECEIVERS[receiver].unpacker()
    for piece in noise:
        unpacker.feed(piece)
    said = b"\r\n" + SPEAKERS[receiver](IPERL) * (1 if receiver != "im871a" else 8)
    found = [telegram for at in range(0, len(said), cut) for telegram in unpacker.feed(said[at : at + cut])]
    assert {len(each.telegram) for each in found} & {len(bytes.fromhex(IPERL)), len(with_checksums(IPERL))}
    for _ in range(50):
        unpacker.feed(b"x" * 1000)
    rest = getattr(unpacker, "_rest", None) or unpacker._lines._rest if hasattr(unpacker, "_lines") else b""
    assert len(rest) <= 2000


def message(payload: object, *, is_retained: bool = False) -> Message:
    """Build a message of the broker."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Message("wmbusmeters/x", data, is_retained, 1000.0, None)


@on_a_loop
async def test_reports_of_wmbusmeters_are_readings(tmp_path: Path) -> None:
    """Units by the names of the fields, the time by its own; kept by the broker while we are away."""
    heat = "{id: heat, profile: generic/wmbus-heat, site: town, number: '36363636', interval_s: 60}"
    plan = planned(
        "  mqtt: {host: broker}\n  topics: ['wmbusmeters/#']\n  format: wmbusmeters", *METERS, heat, file=tmp_path
    )
    assert isinstance(plan, MqttPlan)
    assert plan.topics == (Topic("wmbusmeters/#", 1),)
    interpreter = plan.make(plan, None)  # type: ignore[arg-type]
    report = {
        "media": "heat",
        "meter": "kamheat",
        "name": "Heat",
        "id": "36363636",
        "total_energy_consumption_kwh": 165,
        "total_volume_m3": 5.45,
        "power_kw": 1.2,
        "volume_flow_m3h": 0.018,
        "t1_temperature_c": 53.28,
        "t2_temperature_c": None,
        "status": "OK",
        "timestamp": "2026-11-22T18:07:50Z",
    }
    (said,) = await interpreter.understand(message(report)) or ()
    assert said.measured is not None
    assert volumes(said.measured) == {
        "heat_energy": 165,
        "heat_volume": 5.45,
        "heat_power": 1200,
        "flow_rate": 5e-06,
        "temp_water_flow": 53.28,
    }
    assert said.measured.at_ms == 1_795_370_870_000
    (again,) = await interpreter.understand(message({**report, "timestamp": "2026-11-22T18:08:06Z"})) or ()
    assert (again.measured, again.garbled) == (None, "")
    (next_one,) = await interpreter.understand(message({**report, "timestamp": "2026-11-22T18:08:50Z"})) or ()
    assert next_one.measured is not None
    (garbled,) = await interpreter.understand(message({"id": "36363636", "meter": "kamheat"})) or ()
    assert "none of its fields" in garbled.garbled
    (timeless,) = await interpreter.understand(message({"id": "36363636", "total_volume_m3": 1})) or ()
    assert (timeless.measured, "no 'timestamp'" in timeless.garbled) == (None, True)
    in_gj = {"id": "36363636", "total_energy_consumption_gj": 1, "timestamp": "2026-11-22T18:09:50Z"}
    (gj,) = await interpreter.understand(message(in_gj)) or ()
    assert gj.measured is not None
    assert volumes(gj.measured)["heat_energy"] == 277.777777777778
    for other in ({**report, "id": "1"}, [1], b"\xff", b"{", {"id": 5}):
        assert list(await interpreter.understand(message(other)) or ()) == []
    await interpreter.close()


@on_a_loop
async def test_raw_telegrams_on_a_broker_are_readings(tmp_path: Path) -> None:
    """Bare, or in JSON with a time; what the broker kept without a time may be of any age, and is left."""
    plan = planned("  mqtt: {host: broker}\n  topics: [rf/raw]\n  format: telegrams", file=tmp_path)
    assert isinstance(plan, MqttPlan)
    assert plan.topics == (Topic("rf/raw", 0),)
    interpreter = plan.make(plan, None)  # type: ignore[arg-type]
    assert list(await interpreter.understand(message(IPERL.encode(), is_retained=True)) or ()) == []
    (said,) = await interpreter.understand(message(IPERL.encode())) or ()
    assert said.measured is not None
    assert volumes(said.measured)["water_volume"] == 123.529
    interpreter.follow(plan.devices)
    (later,) = (
        await interpreter.understand(
            message({"raw_hex": IPERL, "rssi_dbm": -65, "timestamp": "2026-11-22T18:07:50+01:00"})
        )
        or ()
    )
    assert later.measured is not None
    assert later.measured.at_ms == 1_795_367_270_000
    for nothing in (b"", b"zz", {"raw_hex": 5}, {"telegram": "zz"}, IPERL[:-2].encode()):
        assert list(await interpreter.understand(message(nothing)) or ()) == []


@pytest.mark.parametrize(
    ("settings_", "meters", "expected"),
    [
        ("  serial: /dev/x", METERS, "'receiver'"),
        ("  receiver: cul", METERS, "'serial' and 'tcp'"),
        ("  serial: /dev/x\n  receiver: cul\n  topics: [x]", METERS, "'mqtt' only"),
        ("  mqtt: {host: b}\n  format: telegrams", METERS, "topic filters"),
        ("  mqtt: {host: b}\n  topics: [x]", METERS, "'wmbusmeters' and 'telegrams'"),
        ("  mqtt: {host: b}\n  topics: [x]\n  format: telegrams\n  serial: /dev/x", METERS, "one of them"),
        (
            "  mqtt: {host: b}\n  topics: [x]\n  format: telegrams\n  baud_rate: 9600",
            METERS,
            "'baud_rate' beside 'mqtt'",
        ),
        ("  mqtt: {host: b}\n  topics: [x, 'a/#/b']\n  format: telegrams", METERS, "'a/#/b'; expected a topic filter"),
        ("  mqtt: {host: b}\n  topics: ['a+/b']\n  format: telegrams", METERS, "'a+/b'; expected a topic filter"),
        ("  serial: /dev/x\n  receiver: cul", (METERS[0], METERS[0].replace("id: water", "id: two")), "its own"),
        (
            "  mqtt: {host: b}\n  topics: [x]\n  format: wmbusmeters",
            (
                METERS[0].replace("id: water", "id: water, maker: SEN"),
                METERS[0].replace("id: water", "id: two, maker: KAM"),
            ),
            "wmbusmeters does not say whose",
        ),
        ("  serial: /dev/x\n  receiver: cul", (METERS[0].replace("33225544", "3322"),), "eight digits"),
        (
            "  serial: /dev/x\n  receiver: cul",
            (METERS[0].replace("generic/wmbus-water", "generic/mbus-water"),),
            "one of",
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_line(
    tmp_path: Path, settings_: str, meters: tuple[str, ...], expected: str
) -> None:
    """A person must edit the file: what was found, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        planned(settings_, *meters, file=tmp_path)
    assert expected in str(caught.value)


def test_a_receiver_goes_on_with_other_meters(tmp_path: Path) -> None:
    """A reload keeps the port, and drops samples of meters that are gone."""
    setting = f"  serial: {tmp_path}/x\n  receiver: cul"
    plan, fewer = planned(setting, file=tmp_path), planned(setting, METERS[0], file=tmp_path)
    assert plan.is_same_line(fewer)
    assert plan.place == fewer.place
    assert not plan.is_same_line(planned(f"{setting}\n  mode: C", file=tmp_path))
    assert (plan.cost_s("water"), plan.faster(0.5), plan.listens) == (0.0, "", True)


@pytest.mark.parametrize("other", ["format: wmbusmeters", "format: telegrams\n  key_file: other"])
def test_a_broker_with_another_file_of_keys_is_another_line(tmp_path: Path, other: str) -> None:
    """A reload opens it anew: what the meters are decrypted with is taken in when it is opened."""
    setting = "  mqtt: {host: broker}\n  topics: ['wmbus/#']\n"
    plan = planned(f"{setting}  format: telegrams\n  key_file: {tmp_path}/keys", file=tmp_path)
    changed = planned(setting + "  " + other.replace("other", f"{tmp_path}/other"), file=tmp_path)
    same = planned(f"{setting}  format: telegrams\n  key_file: {tmp_path}/keys", file=tmp_path)
    assert plan == same
    assert plan.is_same_line(same)
    assert plan != changed
    assert not plan.is_same_line(changed)


def test_of_two_meters_with_one_number_each_has_its_own_telegrams() -> None:
    """Told apart by their makers."""
    two = [METERS[0].replace("id: water", f"id: {maker.lower()}, maker: {maker}") for maker in ("SEN", "KAM")]
    plan = planned("  serial: /dev/x\n  receiver: cul", *two, file=Path("gw.yaml"))
    meters = Meters(wanted(plan.devices), lambda _: None)  # type: ignore[arg-type]
    assert [said.device for said in meters.telegram(bytes.fromhex(IPERL), 1.0)] == ["sen"]


NUMBERS: st.SearchStrategy[object] = st.one_of(
    st.integers(), st.floats(), st.sampled_from([10**400, -(10**400), float("inf"), True, None, "5", [], {}])
)


@pytest.mark.slow
@settings(max_examples=300, derandomize=True)
@given(
    st.dictionaries(st.sampled_from(["total_m3", "flow_m3h", "volume_flow_m3h", "timestamp", "meter", "id"]), NUMBERS)
)
def test_whatever_a_daemon_reports_it_is_readings_or_none(found: dict[str, Any]) -> None:
    """Whole numbers of any length, and what is none: never an exception, which would stop the bus."""
    setting = "  mqtt: {host: broker}\n  topics: [a]\n  format: wmbusmeters"
    meters = Meters(wanted(planned(setting, METERS[0], file=Path("gw.yaml")).devices), lambda _: None)  # type: ignore[arg-type]
    for document in (
        found,
        {**found, "id": "33225544"},
        {**found, "id": "33225544", "timestamp": "2026-11-22T18:07:50Z"},
    ):
        for said in meters.report(json.dumps(document).encode(), 1.0):
            assert all(math.isfinite(reading.value) for reading in (said.measured.readings if said.measured else ()))


@settings(max_examples=300, derandomize=True)
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=100).map(lambda data: data.hex().encode())))
def test_whatever_a_message_holds_it_is_a_telegram_or_none(payload: bytes) -> None:
    """Of a broker to which anybody may publish."""
    setting = "  mqtt: {host: broker}\n  topics: [a]\n  format: telegrams"
    meters = Meters(wanted(planned(setting, file=Path("gw.yaml")).devices), lambda _: None)  # type: ignore[arg-type]
    for whole in (payload, b'{"telegram": "' + payload + b'"}'):
        assert isinstance(meters.message(whole, 1.0), list)
