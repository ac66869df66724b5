"""The driver of S0 pulses: checks a meter at the desk, counts in the field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from os.path import normpath
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge import planning
from edge.interface import Place
from edge.s0 import profile as profiles
from edge.speaking import SpeakingPlan
from wire.ids import Id
from wire.town import DeviceEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from base.strict_yaml import Document, Path_
    from edge.interface import BusPlan
    from edge.plausibility.encoding import Encoding
    from edge.s0.bus import S0Bus
    from edge.s0.sources import Pin
    from wire import profile as public

_PIN = re.compile(r"(?:/dev/)?(?P<chip>gpiochip[0-9]{1,3}):(?P<line>[0-9]{1,4}|[A-Za-z_][A-Za-z0-9_-]{0,31})\Z")
SHORTEST_S = 10.0
"""Each reading may write a page of the card."""


class S0Device(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The meter on such a line."""


class S0BusConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line with the pulses of one meter."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["s0"]
    """What counts the pulses."""
    gpio: str | None = None
    """The pin, `CHIP:LINE`, such as `gpiochip0:17` or `gpiochip0:GPIO17`. One of `gpio` and `counter`."""
    counter: str | None = None
    """A counter of the kernel, such as `/sys/bus/counter/devices/counter0/count0/count`."""
    counter_bits: Literal[16, 24, 32, 64] = 64
    """At which it starts over, where its folder has no `ceiling`."""
    bias: Literal["pull-up", "pull-down", "none"] = "pull-up"
    """The pin's own resistor; `none` where one is soldered."""
    active: Literal["low", "high"] = "low"
    """The level of a pulse: low, where the meter's output pulls the pin to ground."""
    debounce_ms: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 2.0
    """So long a change must last for the kernel to report it; reed contacts want 20 and more."""
    shortest_ms: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 20.0
    """What is shorter is a disturbance; the norm gives a pulse 30 ms and more."""
    state_dir: str = "/var/lib/messnetz/pulses"
    """Where the count is kept, in a file of the device's name."""
    devices: Annotated[list[S0Device], msgspec.Meta(min_length=1, max_length=1)]
    """The meter."""


@dataclass(frozen=True)
class S0Target:
    """The meter of such a bus."""

    id: str
    interval_s: float
    start: float
    """What it showed when counting began."""
    meaning: tuple[object, ...]
    encodings: Mapping[str, Encoding] = field(compare=False, repr=False)
    """What a number of pulses means, by the names of the readings."""


@dataclass(frozen=True)
class S0Plan(SpeakingPlan):
    """A checked bus."""

    id: str
    device: S0Target
    pin: Pin | None
    counter: str | None
    counter_bits: int
    state_dir: str

    @property
    def devices(self) -> tuple[S0Target, ...]:
        """The one meter."""
        return (self.device,)

    @property
    def place(self) -> Place:
        """The pin or the counter."""
        if self.pin is not None:
            return Place("gpio", str(self.pin))
        return Place("counter", normpath(self.counter or ""))

    @property
    def line_and_meaning(self) -> tuple[object, ...]:
        """What makes it the line that it is; the interval does not."""
        return self.pin, self.counter, self.counter_bits, self.state_dir, self.device.id, self.device.meaning

    def is_same_line(self, other: BusPlan) -> bool:
        """Whether an open bus can go on with another plan."""
        return isinstance(other, S0Plan) and self.line_and_meaning == other.line_and_meaning

    def open(self) -> S0Bus:
        """Make the bus ready; the line is taken with the first reading."""
        from edge.s0.bus import S0Bus  # noqa: PLC0415 - what only an open bus needs
        from edge.s0.ledger import Ledger  # noqa: PLC0415
        from edge.s0.sources import KernelSource, PinSource  # noqa: PLC0415

        ledger = Ledger(Path(self.state_dir) / self.device.id)
        if self.pin is not None:
            return S0Bus(self, PinSource(self.pin), ledger)
        return S0Bus(self, KernelSource(Path(self.counter or ""), self.counter_bits), ledger)


class S0Driver:
    """The driver as the table knows it."""

    title = "A line with the S0 pulses of a meter"
    config: type[msgspec.Struct] = S0BusConfig

    def profile_kinds(self) -> tuple[type[public.Profile], ...]:
        """Return the one kind."""
        return (profiles.S0Profile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(S0BusConfig, path)
        at = (*path, "devices", 0)
        device = planning.device_of(document, at, config.devices[0], "s0", profiles.load)
        why = "in each of which the count is written to the card"
        planning.check_interval(document, at, device.interval_s, SHORTEST_S, why)
        pin = _pin(document, path, config)
        if not config.state_dir.startswith("/"):
            raise document.error((*path, "state_dir"), repr(config.state_dir), "a path that begins with '/'")
        profile, parameters = device.profile, device.parameters
        start, encodings = profile.start(parameters), profile.encodings(parameters)
        target = S0Target(device.id, device.interval_s, start, device.meaning, encodings)
        return S0Plan(config.id, target, pin, config.counter, config.counter_bits, config.state_dir)


def _pin(document: Document, path: Path_, config: S0BusConfig) -> Pin | None:
    """Check where the pulses come from."""
    from edge.s0.sources import Pin  # noqa: PLC0415 - as above

    if (config.gpio is None) == (config.counter is None):
        found = "no line" if config.gpio is None else "'gpio' and 'counter'"
        raise document.error(path, found, "one of 'gpio' and 'counter'")
    if config.gpio is None:
        if not (config.counter or "").startswith("/"):
            raise document.error((*path, "counter"), repr(config.counter), "a path, such as /sys/bus/counter/...")
        return None
    found_pin = _PIN.match(config.gpio)
    if found_pin is None:
        raise document.error((*path, "gpio"), repr(config.gpio), "CHIP:LINE, such as gpiochip0:17")
    if config.debounce_ms >= config.shortest_ms > 0:
        found = f"{config.debounce_ms:g} ms, where pulses last {config.shortest_ms:g} ms"
        raise document.error((*path, "debounce_ms"), found, "less than 'shortest_ms'")
    return Pin(
        f"/dev/{found_pin['chip']}",
        str(int(found_pin["line"])) if found_pin["line"].isdigit() else found_pin["line"],
        config.bias,
        config.active == "low",
        config.debounce_ms,
        config.shortest_ms,
    )


DRIVER = S0Driver()
