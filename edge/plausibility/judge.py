"""Judges all readings of one device. Nothing is dropped; what cannot be believed is flagged, and said in the log."""

from __future__ import annotations

import logging
import zlib
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import msgspec

from edge.plausibility import rules as rules_of
from edge.plausibility.counter import Counter
from edge.plausibility.gauges import Gauge
from edge.plausibility.units import KINDS, Pair
from edge.plausibility.watch import State, Watch
from wire import profile as profiles
from wire.readings import Flag, Reading, is_suspect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edge.interface import PlannedDevice
    from edge.plausibility.encoding import Encoding
    from edge.plausibility.hints import Hint
    from edge.plausibility.rules import Rules
    from edge.plausibility.watch import Memory
    from wire.mapping import CodecMapping
    from wire.town import DeviceEntry

logger = logging.getLogger(__name__)

SAY_AGAIN_S = 6 * 3600.0
PAIRS_S = 5.0
"""A flow and its counter are compared so often at most."""


@runtime_checkable
class Encoded(Protocol):
    """A planned device whose driver knows how its values are written down. A driver without this need not."""

    @property
    def encodings(self) -> Mapping[str, Encoding]:
        """By the name of the reading, as far as they are known."""


class Suspicion(NamedTuple):
    """A reading that is not believed now, or one that contradicts another; as the agent's status has it."""

    name: str
    flags: int
    kind: str
    """A row of `edge.plausibility.hints.TEXTS`; `values` fill its places."""
    values: dict[str, float | str]
    text: str
    """The same in English."""


class Judge:
    """Judges the readings of one device, in their order. Times are monotonic, in seconds."""

    def __init__(
        self,
        device: str,
        rules: tuple[Rules, ...],
        interval_s: float,
        parameters: tuple[float, ...],
        mapping: CodecMapping | None = None,
    ) -> None:
        """`mapping`: how the town itself maps the device, where no profile does."""
        self._device = device
        self._watches = {_key(rule.name): _watch(rule, interval_s) for rule in rules}
        by_name = {rule.name: rule for rule in rules}
        self._pairs = tuple(_pairs(by_name, parameters))
        self._pairs_due_s = 0.0
        kind = [(rule.name, rule.encoding, rule.counter.modulus) for rule in rules]
        mapped = b"" if mapping is None else msgspec.json.encode(mapping, order="deterministic")
        self.fingerprint = zlib.crc32(repr((kind, parameters)).encode() + mapped)
        """Of what its values mean: what was remembered under another one is another model's."""

    def judged(self, readings: tuple[Reading, ...], at_s: float, arrived_s: float | None = None) -> tuple[Reading, ...]:
        """Return the readings with their flags, in the same order; those that the profile does not know as they are.

        `arrived_s`: when they came, where the source says when they were made. What was made before the last one came
        late, or a second time: nothing but its range tells whether it can be, and nothing is learned of it.
        """
        watches, changed = self._watches, None
        for index, reading in enumerate(readings):
            watch = watches.get((reading.quantity, reading.channel))
            if watch is None:
                continue
            if arrived_s is not None and at_s < watch.seen_s <= arrived_s:
                if watch.rules.why_none(reading.value) is not None:
                    changed = changed if changed is not None else list(readings)
                    changed[index] = _beyond_range(watch, reading)
                continue
            flags = watch.judge(reading.value, at_s)
            watch.flags = flags
            if flags:
                changed = changed if changed is not None else list(readings)
                changed[index] = self._flagged(watch, reading, at_s)
        if self._pairs and at_s >= self._pairs_due_s:
            self._compare(readings, at_s)
        return readings if changed is None else tuple(changed)

    def suspicions(self) -> list[Suspicion]:
        """Return what is not believed now, and why."""
        found = [
            _suspicion(watch.rules.name, watch.flags, watch.hint)
            for watch in self._watches.values()
            if is_suspect(watch.flags) and watch.hint is not None
        ]
        return found + [
            _suspicion(_name(pair.kind.meter, pair.channel), 0, pair.hint)
            for pair in self._pairs
            if pair.hint is not None
        ]

    @property
    def notable(self) -> int:
        """Count what happened that a restart should not make undone."""
        return sum(watch.notable for watch in self._watches.values() if isinstance(watch, Counter))

    def remember(self) -> dict[str, Memory]:
        """Return what a restart must not forget, by the names of the readings."""
        memories = ((watch.rules.name, watch.remember()) for watch in self._watches.values())
        return {name: memory for name, memory in memories if memory is not None}

    def recall(self, memories: Mapping[str, Memory], by_s: float, unsure_s: float) -> None:
        """Take what another run remembered; what cannot be read is left out: that reading begins anew."""
        for watch in self._watches.values():
            memory = memories.get(watch.rules.name)
            if memory is None:
                continue
            try:
                watch.recall(memory, by_s, unsure_s)
            except (TypeError, ValueError):
                logger.warning("device %s: what was known of %s cannot be read", self._device, watch.rules.name)

    def _flagged(self, watch: Watch, reading: Reading, at_s: float) -> Reading:
        flags, value = watch.flags, reading.value
        if flags == Flag.RANGE and (end := watch.rules.clipped(value)) is not None:
            watch.flags = flags = int(Flag.SUBSTITUTED)
            value = end
        if is_suspect(flags) and watch.hint is not None and at_s - watch.logged_s >= SAY_AGAIN_S:
            watch.logged_s = at_s
            name, shown = watch.rules.name, f"{reading.value:.10g} {reading.unit}"
            logger.warning("device %s: %s %s is not believed: %s", self._device, name, shown, watch.hint.english())
        return Reading(reading.quantity, value, reading.unit, reading.channel, reading.flags | flags)

    def _compare(self, readings: tuple[Reading, ...], at_s: float) -> None:
        self._pairs_due_s = at_s + PAIRS_S
        values = {(reading.quantity, reading.channel): reading.value for reading in readings}
        for pair in self._pairs:
            flow, count = (pair.kind.flow, pair.channel), (pair.kind.meter, pair.channel)
            is_good = not (self._watches[flow].flags or self._watches[count].flags)
            if is_good and flow in values and count in values:
                before = pair.hint
                pair.add(values[flow], values[count], at_s)
                if pair.hint is not None and pair.hint != before:
                    logger.warning("device %s: %s", self._device, pair.hint.english())


def of_device(planned: PlannedDevice, entry: DeviceEntry) -> Judge:
    """Build the judge of a device from its profile, its parameters, and what its driver knows of its encoding."""
    profile = profiles.load(entry.profile)
    given = {name: entry.parameters.get(name, declared.default) for name, declared in profile.parameters.items()}
    parameters = {name: float(value) for name, value in given.items() if value is not None}
    encodings = planned.encodings if isinstance(planned, Encoded) else {}
    rules = rules_of.of_profile(profile, parameters, encodings)
    return Judge(planned.id, rules, planned.interval_s, tuple(sorted(parameters.values())), entry.mapping)


def _beyond_range(watch: Watch, reading: Reading) -> Reading:
    end = watch.rules.clipped(reading.value)
    flag = Flag.RANGE if end is None else Flag.SUBSTITUTED
    value = reading.value if end is None else end
    return Reading(reading.quantity, value, reading.unit, reading.channel, reading.flags | flag)


def _suspicion(name: str, flags: int, hint: Hint) -> Suspicion:
    return Suspicion(name, flags, hint.kind, hint.values, hint.english())


def _watch(rules: Rules, interval_s: float) -> Watch:
    match rules.quantity.kind:
        case "counter":
            return Counter(rules)
        case "state":
            return State(rules)
        case _:
            return Gauge(rules, interval_s)


def _pairs(rules: Mapping[str, Rules], parameters: tuple[float, ...]) -> Iterator[Pair]:
    for kind in KINDS:
        for name in rules:
            quantity, _, channel = name.partition("/")
            counted = rules.get(_name(kind.meter, channel))
            if quantity == kind.flow and counted is not None:
                yield Pair(kind, channel, counted.counter, parameters)


def _key(name: str) -> tuple[str, str]:
    quantity, _, channel = name.partition("/")
    return quantity, channel


def _name(quantity: str, channel: str) -> str:
    return f"{quantity}/{channel}" if channel else quantity
