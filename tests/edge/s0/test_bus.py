"""A meter's pulses on a bus: what a restart, a power cut and a full disk do to its count."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from far_end import until

from base import strict_yaml
from base.errors import ConfigError, TransientError
from edge.drivers import plan_bus
from edge.interface import NoAnswerError
from edge.s0 import driver
from edge.s0 import profile as profiles
from edge.s0.bus import S0Bus, boot_id
from edge.s0.driver import S0Plan
from edge.s0.ledger import Count, Ledger
from edge.s0.sources import KernelSource, Pin, PinSource
from wire import profile as public

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.s0.sources import PulseSource

BUS = """\
id: hall
driver: s0
gpio: gpiochip0:17
devices:
  - {id: meter, profile: generic/s0-electricity, site: s, parameters: {pulses_per_kwh: 1000, start: 48211.3}}
"""
FIRST, SECOND = b"a" * 16, b"b" * 16
MS = 1_000_000


def _plan(text: str = BUS) -> S0Plan:
    plan = plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ())
    assert isinstance(plan, S0Plan)
    return plan


class _Type(Enum):
    RISING_EDGE = 1
    FALLING_EDGE = 2


@dataclass
class _Event:
    event_type: _Type
    timestamp_ns: int
    line_seqno: int
    Type = _Type


class Line:
    """A line of a chip, as gpiod gives it, whose edges are played."""

    def __init__(self) -> None:
        self.fd, self._far_end = os.pipe()
        self._events: list[_Event] = []
        self._number = 0
        self._at_ns = 0
        self.is_released = self.is_gone = False

    def pulse(self, times: int = 1, length_ms: int = 40) -> None:
        """Let the meter give pulses."""
        for _ in range(times):
            for kind, ms in ((_Type.RISING_EDGE, 60), (_Type.FALLING_EDGE, length_ms)):
                self._number += 1
                self._at_ns += ms * MS
                self._events.append(_Event(kind, self._at_ns, self._number))
        os.write(self._far_end, b"x")

    def read_edge_events(self, most: int) -> list[_Event]:
        """Hand over what has come."""
        os.read(self.fd, 4096)
        if self.is_gone:
            raise OSError(19, "No such device")
        events, self._events = self._events[:most], self._events[most:]
        return events

    def release(self) -> None:
        """Give it back."""
        self.is_released = True


def _pin_bus(line: Line, folder: Path, plan: S0Plan | None = None) -> S0Bus:
    plan = plan or _plan()
    assert plan.pin is not None
    return S0Bus(plan, PinSource(plan.pin, lambda _: line), Ledger(folder / "meter"), FIRST)


async def _values(bus: S0Bus) -> dict[str, float]:
    return {reading.name: reading.value for reading in (await bus.read("meter")).readings}


def test_the_sample_is_right() -> None:
    """What a technician copies from must work."""
    document = strict_yaml.load(Path(driver.__file__).parent / "sample.yaml")
    plans = [plan_bus(document, ("buses", index)) for index in range(2)]
    assert [(plan.place.key, plan.place.address) for plan in plans] == [
        ("gpio", "/dev/gpiochip0:17"),
        ("counter", "/sys/bus/counter/devices/counter0/count0/count"),
    ]


def test_a_pin_has_one_name(tmp_path: Path) -> None:
    """However its number is written: so two buses on one pin are found."""
    document = strict_yaml.load(Path(driver.__file__).parent / "sample.yaml")
    text = document.file.read_text(encoding="utf-8").replace("gpiochip0:17", "/dev/gpiochip0:017")
    other = tmp_path / "sample.yaml"
    other.write_text(text, encoding="utf-8")
    assert plan_bus(strict_yaml.load(other), ("buses", 0)).place == plan_bus(document, ("buses", 0)).place


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("gpio: gpiochip0:17", "gpio: '17'", "'17'; expected CHIP:LINE, such as gpiochip0:17"),
        ("gpio: gpiochip0:17", "counter: count", "'count'; expected a path"),
        ("gpio: gpiochip0:17", "bias: none", "no line; expected one of 'gpio' and 'counter'"),
        ("site: s", "site: s, interval_s: 5", "5 s, in each of which the count is written to the card"),
        ("driver: s0", "driver: s0\nshortest_ms: 2", "2 ms, where pulses last 2 ms"),
        ("driver: s0", "driver: s0\nstate_dir: here", "'here'; expected a path that begins with '/'"),
        ("pulses_per_kwh: 1000, ", "", "no parameter 'pulses_per_kwh'"),
    ],
)
def test_a_mistake_is_an_error_at_the_desk(old: str, new: str, error: str) -> None:
    """Not a count that nobody believes."""
    with pytest.raises(ConfigError) as caught:
        _plan(BUS.replace(old, new))
    assert error in str(caught.value)


@pytest.mark.parametrize("name", public.names_of("s0"))
def test_a_thousand_pulses_have_a_worth(name: str) -> None:
    """Of every profile, from a start of 5."""
    profile = profiles.load(name)
    given = {"start": 5.0, **dict.fromkeys(set(profile.parameters) - {"start"}, 10.0)}
    values = {name: encoding.of(1000) for name, encoding in profile.encodings(given).items()}
    expected = {"s0-electricity": 105.0, "pulse-water": 15.0, "pulse-gas": 15.0}[name.partition("/")[2]]
    assert values.pop("pulses") == 1000
    assert list(values.values()) == [pytest.approx(expected)]


def test_pulses_are_counted_from_the_meters_display(tmp_path: Path) -> None:
    """48211.3 kWh and three pulses of 1 Wh; the line is given back at the end."""

    async def play() -> None:
        line = Line()
        bus = _pin_bus(line, tmp_path)
        assert await _values(bus) == {"active_energy_import": 48211.3, "pulses": 0}
        line.pulse(3)
        line.pulse(1, length_ms=3)
        await until(lambda: bus.traffic("meter").errors == 1)
        assert await _values(bus) == {"active_energy_import": 48211.303, "pulses": 3}
        assert bus.traffic("meter") == (4, 1)
        await bus.close()
        assert line.is_released

    asyncio.run(play())


def test_a_count_goes_on_after_a_restart(tmp_path: Path) -> None:
    """And what came since the last reading is kept when the agent stops."""

    async def play() -> None:
        line = Line()
        bus = _pin_bus(line, tmp_path)
        await bus.read("meter")
        line.pulse(5)
        await until(lambda: bus._source.raw() == 5)
        await bus.close()
        assert (await _values(_pin_bus(Line(), tmp_path)))["pulses"] == 5

    asyncio.run(play())


def test_a_power_cut_never_takes_a_count_back(tmp_path: Path) -> None:
    """What was said is on the disk; what was not said yet is lost."""

    async def play() -> None:
        line = Line()
        bus = _pin_bus(line, tmp_path)
        await bus.read("meter")
        line.pulse(5)
        await until(lambda: bus._source.raw() == 5)
        said = (await _values(bus))["pulses"]
        line.pulse(2)
        await until(lambda: bus._source.raw() == 7)
        later = _pin_bus(Line(), tmp_path)  # the first bus was never closed
        assert (await _values(later))["pulses"] == said == 5

    asyncio.run(play())


def test_without_a_place_on_the_disk_nothing_is_said(tmp_path: Path) -> None:
    """Counting goes on, and the next reading has it all."""

    async def play() -> None:
        line = Line()
        (tmp_path / "state").write_text("a file where a folder should be")
        bus = _pin_bus(line, tmp_path / "state")
        line.pulse(3)
        with pytest.raises(TransientError, match="not readable"):
            await bus.read("meter")
        (tmp_path / "state").unlink()
        await bus.read("meter")
        line.pulse(4)
        await until(lambda: bus._source.raw() == 7)
        assert (await _values(bus))["pulses"] == 7

    asyncio.run(play())


def test_another_start_begins_anew(tmp_path: Path) -> None:
    """The meter was exchanged, or somebody read its display."""

    async def play() -> None:
        line = Line()
        bus = _pin_bus(line, tmp_path)
        await bus.read("meter")
        line.pulse(5)
        await until(lambda: bus._source.raw() == 5)
        await bus.close()
        other = _plan(BUS.replace("48211.3", "0.5"))
        assert not _plan().is_same_line(other)
        assert await _values(_pin_bus(Line(), tmp_path, other)) == {"active_energy_import": 0.5, "pulses": 0}

    asyncio.run(play())


def test_a_line_that_vanishes_is_taken_again(tmp_path: Path) -> None:
    """A USB adapter with pins was pulled and put back; its edges are numbered from 1 again."""

    async def play() -> None:
        first, second = Line(), Line()
        lines = [first, second]
        plan = _plan()
        assert plan.pin is not None
        bus = S0Bus(plan, PinSource(plan.pin, lambda _: lines.pop(0)), Ledger(tmp_path / "meter"), FIRST)
        await bus.read("meter")
        first.pulse(2)
        await until(lambda: bus._source.raw() == 2)
        first.is_gone = True
        first.pulse()
        await until(lambda: first.is_released)
        await bus.read("meter")
        second.pulse(3)
        await until(lambda: bus._source.raw() == 5)
        assert (await _values(bus))["pulses"] == 5
        assert bus.traffic("meter").errors == 0

    asyncio.run(play())


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FileNotFoundError(2, "x"), "/dev/gpiochip0:17: there is no such chip"),
        (PermissionError(13, "x"), "put the agent's user into the group 'gpio'"),
        (OSError(16, "x"), "another program has this line"),
        (ValueError("no line of that name"), "no line of that name"),
    ],
)
def test_a_pin_that_nobody_gets_is_named(tmp_path: Path, error: Exception, sentence: str) -> None:
    """With what to do."""

    def refuse(_pin: Pin) -> Any:  # noqa: ANN401 - it never returns
        raise error

    plan = _plan()
    assert plan.pin is not None
    bus = S0Bus(plan, PinSource(plan.pin, refuse), Ledger(tmp_path / "meter"), FIRST)
    with pytest.raises(NoAnswerError) as caught:
        asyncio.run(bus.read("meter"))
    assert sentence in str(caught.value)


def test_a_chip_that_is_not_there_is_named_by_gpiod(tmp_path: Path) -> None:
    """The real library, on a machine without pins."""
    source = PinSource(Pin("/dev/gpiochip-none", "17"))
    bus = S0Bus(_plan(), source, Ledger(tmp_path / "meter"), FIRST)
    with pytest.raises(NoAnswerError, match="there is no such chip"):
        asyncio.run(bus.read("meter"))


def _folder(tmp_path: Path, **files: str) -> Path:
    folder = tmp_path / "count0"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text + "\n")
    return folder / "count"


def _kernel_bus(tmp_path: Path, boot: bytes = FIRST, bits: int = 64) -> tuple[S0Bus, Callable[[int], object]]:
    count = tmp_path / "count0" / "count"
    source: PulseSource = KernelSource(count, bits)
    bus = S0Bus(_plan(), source, Ledger(tmp_path / "meter"), boot)
    return bus, lambda raw: count.write_text(f"{raw}\n")


def test_a_kernels_counter_counts_from_where_it_stood(tmp_path: Path) -> None:
    """What it had counted before the first start is nobody's; over its top it goes on."""

    async def play() -> None:
        _folder(tmp_path, count="65500", ceiling="65535", enable="1")
        bus, stands = _kernel_bus(tmp_path)
        assert (await _values(bus))["pulses"] == 0
        stands(65530)
        assert (await _values(bus))["pulses"] == 30
        stands(4)
        assert (await _values(bus))["pulses"] == 40

    asyncio.run(play())


def test_the_kernel_counts_while_the_agent_does_not(tmp_path: Path) -> None:
    """In the same boot nothing is missed; after another the counter began at 0."""

    async def play() -> None:
        _folder(tmp_path, count="100")
        bus, stands = _kernel_bus(tmp_path)
        await bus.read("meter")
        stands(150)
        await bus.read("meter")
        await bus.close()
        stands(170)
        bus, stands = _kernel_bus(tmp_path)
        assert (await _values(bus))["pulses"] == 70
        await bus.close()
        stands(12)
        bus, stands = _kernel_bus(tmp_path, SECOND)
        assert (await _values(bus))["pulses"] == 82
        stands(13)
        assert (await _values(bus))["pulses"] == 83
        await bus.close()
        stands(400)  # of yet another boot: all of it is new, though it stands higher than before
        bus, stands = _kernel_bus(tmp_path, FIRST)
        assert (await _values(bus))["pulses"] == 483

    asyncio.run(play())


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "not readable"),
        ({"count": "x"}, "holds no number"),
        ({"count": "-5"}, "holds no number"),
        ({"count": "5", "enable": "0"}, "the counter is switched off; write 1 into"),
    ],
)
def test_a_counter_that_does_not_count_is_named(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    """With what to do."""
    _folder(tmp_path, **files)
    bus, _ = _kernel_bus(tmp_path)
    with pytest.raises(NoAnswerError, match=sentence):
        asyncio.run(bus.read("meter"))


def test_a_damaged_file_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Counting begins anew, and whoever looks into the log learns why."""
    (tmp_path / "meter").write_bytes(b"\xff" * 100)
    assert asyncio.run(_values(_pin_bus(Line(), tmp_path)))["pulses"] == 0
    assert "the file of the count is damaged" in caplog.text


def test_nothing_is_written_where_nothing_was_counted(tmp_path: Path) -> None:
    """A meter that stands still costs the card nothing."""

    async def play() -> None:
        saved: list[Count] = []

        class Watched(Ledger):
            def save(self, count: Count) -> None:
                saved.append(count)
                super().save(count)

        plan, line = _plan(), Line()
        assert plan.pin is not None
        bus = S0Bus(plan, PinSource(plan.pin, lambda _: line), Watched(tmp_path / "meter"), FIRST)
        for _ in range(5):
            await bus.read("meter")
        assert len(saved) == 1

    asyncio.run(play())


def test_this_boot_has_an_id(tmp_path: Path) -> None:
    """Sixteen bytes; zeros where the kernel does not tell."""
    assert len(boot_id()) == 16
    (tmp_path / "boot_id").write_text("0f1e2d3c-0000-4000-8000-000000000001\n")
    assert boot_id(tmp_path / "boot_id").hex() == "0f1e2d3c000040008000000000000001"
    assert boot_id(tmp_path / "none") == bytes(16)
