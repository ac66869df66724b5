"""What the judges know outlives the agent; what is lost of it costs no false flag, and no wrong base."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from edge.interface import Measured, Traffic
from gateway import clock, judgement
from gateway import config as configs
from gateway.agent import Agent
from gateway.device import DeviceState
from gateway.judgement import JudgeMemory
from gateway.timekeeper import Timekeeper
from wire import profile as profiles
from wire.counters import CATCH_UP_S
from wire.mapping import CodecMapping, profile_of
from wire.readings import Flag, Reading
from wire.town import DeviceEntry

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = DeviceEntry(id="main", profile="eastron/sdm630", site="s")
RESET = int(Flag.RESET)


@dataclass(frozen=True)
class Planned:
    """A device as the schedule sees it."""

    id: str = "main"
    interval_s: float = 10.0


def _says(state: DeviceState, kwh: float, at_s: float) -> int:
    """Let a device say what it has counted; returns the flags that are recorded."""
    (sample,) = state.answered(Measured((Reading("active_energy_import", kwh, "kWh"),), at_s), Traffic())
    return sample.readings[0].flags


def _restarted(spool: Path, before: DeviceState, entry: DeviceEntry = ENTRY) -> DeviceState:
    """Save what is known, as an agent that ends does, and let the next one recall it."""
    asyncio.run(JudgeMemory(spool).save({"main": before}))
    state = DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", entry)
    JudgeMemory(spool).recall(state)
    return state


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where the spool would lie."""
    return tmp_path / "spool.sqlite"


def test_a_reset_is_one_after_a_restart(spool: Path) -> None:
    """The base is remembered; without it, the first reading would be believed."""
    state, now_s = DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", ENTRY), time.monotonic()
    assert _says(state, 5000.0, now_s) == 0
    assert _says(_restarted(spool, state), 12.1, now_s + 60) == RESET
    assert _says(DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", ENTRY), 12.1, now_s + 60) == 0


def test_a_confirmation_goes_on_over_a_restart(spool: Path) -> None:
    """Two readings before, the third after."""
    state, now_s = DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", ENTRY), time.monotonic() - 3600
    assert [_says(state, kwh, now_s + at_s) for kwh, at_s in [(5000.0, 0), (12.1, 900), (12.3, 1800)]] == [0, 128, 128]
    assert _says(_restarted(spool, state), 12.6, now_s + 2700) == 0


def test_a_boot_between_leaves_time_to_flow(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Monotonic clocks begin anew, and the wall clock may be wrong: a day of consumption is no jump, a reset is one."""
    state, now_s = DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", ENTRY), time.monotonic()
    _says(state, 5000.0, now_s + 1e6)
    _says(state, 5000.1, now_s + 1e6 + 10)
    monkeypatch.setattr(judgement, "_boot_id", lambda: "the boot before")
    asyncio.run(JudgeMemory(spool).save({"main": state}))
    monkeypatch.undo()
    for kwh, flags in [(5000.0 + CATCH_UP_S / 60 * 80, 0), (12.1, RESET), (5e7, int(Flag.STEP))]:
        after = DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", ENTRY)
        JudgeMemory(spool).recall(after)
        assert _says(after, kwh, time.monotonic() + 1e6) == flags


def test_another_model_knows_nothing_of_the_one_before(spool: Path) -> None:
    """Exchanged for another make, the meter begins at its own count."""
    state = DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", ENTRY)
    _says(state, 5000.0, time.monotonic())
    other = DeviceEntry(id="main", profile="janitza/b23", site="s")
    assert _says(_restarted(spool, state, other), 12.1, time.monotonic()) == 0


def _mapped(path: str, scale: float) -> DeviceEntry:
    """Enter a device whose town maps it by itself; its name, which the registry has, is the same for all of them."""
    values = {"active_energy_import": {"path": path, "scale": scale}}
    mapping = CodecMapping(measurement="electricity", values=values)
    profiles.declare(profile_of("acme/meter", mapping))
    return DeviceEntry(id="main", codec="acme/meter", mapping=mapping, interval_s=10.0, site="s")


def test_another_mapping_is_another_model_although_it_has_the_same_name(spool: Path) -> None:
    """Read with another factor the meter begins anew, after a reload and a restart; with the same one it goes on."""
    before, now_s = _mapped("count", 1.0), time.monotonic()
    state = DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", before)
    assert _says(state, 5000.0, now_s) == 0
    assert _says(_restarted(spool, state, _mapped("count", 1.0)), 5.0, now_s + 60) == RESET
    after = _mapped("count", 0.001)
    assert after.profile == before.profile
    assert _says(_restarted(spool, state, after), 5.0, now_s + 60) == 0
    state.configure(Planned(), "hall", _mapped("count", 1.0))
    assert _says(state, 4000.0, now_s + 60) == RESET
    state.configure(Planned(), "hall", after)
    assert state.latest == {}
    assert _says(state, 4.0, now_s + 120) == 0


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None])
def test_a_file_that_is_lost_or_damaged_costs_no_false_flag(spool: Path, damage: bytes | None) -> None:
    """The agent starts, and judges anew."""
    state, now_s = DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", ENTRY), time.monotonic()
    _says(state, 5000.0, now_s)
    asyncio.run(JudgeMemory(spool).save({"main": state}))
    file = spool.with_name("spool.sqlite.judges")
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-3] + damage)
    after = DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", ENTRY)
    JudgeMemory(spool).recall(after)
    assert [_says(after, kwh, now_s + at_s) for kwh, at_s in [(12.1, 10), (12.2, 20)]] == [0, 0]


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and polling goes on."""
    memory = JudgeMemory(tmp_path / "gone" / "spool.sqlite")
    asyncio.run(memory.save({"main": DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", ENTRY)}))
    assert "is not written down" in caplog.text


def test_it_is_written_rarely_and_soon_after_a_new_segment(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an hour where nothing happens; within ten minutes where a counter began anew."""
    state, now_s = DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", ENTRY), time.monotonic()
    _says(state, 5000.0, now_s)
    looks = 0
    written: list[int] = []
    memory = JudgeMemory(spool)
    monkeypatch.setattr(judgement, "_write", lambda *_: written.append(looks))
    monkeypatch.setattr(time, "monotonic", lambda: now_s + looks * judgement.LOOK_S)

    async def look(_stop: asyncio.Event, _seconds: float) -> bool:
        nonlocal looks
        looks += 1
        if looks == 14:
            _says(state, 12.1, now_s + looks * judgement.LOOK_S)
        return looks > 15

    monkeypatch.setattr(clock, "stopped_within", look)
    asyncio.run(memory.run(asyncio.Event(), {"main": state}))
    assert written == [6, 12, 14]


def test_what_is_suspect_is_recorded_although_its_dead_band_would_leave_it_out() -> None:
    """And shown with its reason to who asks the agent."""
    entry = DeviceEntry(id="main", profile="eastron/sdm630", site="s", dead_band={"active_energy_import": 10.0})
    state, now_s = DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", entry), time.monotonic()
    for at_s, kwh in enumerate([5000.0, 5000.0]):
        state.answered(Measured((Reading("active_energy_import", kwh, "kWh"),), now_s + at_s), Traffic())
    assert _says(state, 4999.0, now_s + 10) == RESET
    assert _says(state, 4999.0, now_s + 20) == RESET
    assert [said.kind for said in state.suspicions()] == ["fall"]


def test_a_sample_that_somebody_asked_for_is_judged_too() -> None:
    """It is stored as any other."""
    state = DeviceState(Planned(), Timekeeper("trusted").stamp, "hall", ENTRY)
    sample = state.asked(Measured((Reading("voltage", 1e6, "V", "L1"),), time.monotonic()))
    assert sample.readings[0].flags == Flag.RANGE


def test_a_device_without_a_profile_is_not_judged() -> None:
    """Nobody knows what is plausible."""
    state = DeviceState(Planned(), Timekeeper("trusted").stamp)
    assert _says(state, -5.0, time.monotonic()) == 0
    assert state.suspicions() == []


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
      - {{id: main, profile: eastron/sdm630, site: s, unit: 1, interval_s: 3600}}
"""


def test_an_agent_goes_on_from_what_the_one_before_knew(tmp_path: Path) -> None:
    """Saved at its end, recalled at the next start; a reload gives no old memory to a judge that knows better."""
    file = tmp_path / "gw.yaml"
    file.write_text(FILE.format(directory=tmp_path))
    flags: list[int] = []

    async def run(*kwh: float) -> None:
        agent, stop = Agent(configs.load(file)), asyncio.Event()
        task = asyncio.create_task(agent.run(stop))
        while not agent._is_up:  # noqa: ASYNC110 - asked, as a person would
            await asyncio.sleep(0.01)
        for value in kwh:
            flags.append(_says(agent._buses.devices["main"], value, time.monotonic()))
            file.write_text(file.read_text().replace(" interval_s: 3600}", " interval_s: 1800}"))
            await agent.reload()
        stop.set()
        assert await task == 0

    asyncio.run(run(5000.0))
    asyncio.run(run(12.1, 5000.1, 4000.0))
    assert flags == [0, RESET, 0, RESET]
