"""What simulated gateways have to say: samples at the ticks of an interval, and the truth behind them."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import zstandard

from simulator.devices import Poll
from wire import batch as wire_batch
from wire import pack
from wire.readings import Reading, Sample
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.account import Witness
    from simulator.spec import Device, TownSpec

QUICK_LEVEL = 3
"""A gateway compresses harder; here one process plays a thousand of them."""


class Source(Protocol):
    """Readings as a pure function of gateway and time."""

    town: TownSpec
    interval_ms: int

    def truth(self, device: str, quantity: str, at_ms: int) -> float:
        """Value of a quantity as on the wire, at a tick."""

    def samples(self, gateway: str, at_ms: int) -> list[Sample]:
        """What all devices of a gateway measure at a tick."""


class Shapes:
    """Plausible readings: the same shapes as the meters', rounded to what a meter can carry."""

    def __init__(self, town: TownSpec, interval_s: float) -> None:
        self.town = town
        self.interval_ms = round(interval_s * 1000)
        self._named = {device.id: _named(device) for device in town.devices}

    def truth(self, device: str, quantity: str, at_ms: int) -> float:
        """Value of a quantity at a tick; counters a little below the meters', which go on where history ends."""
        exact = self.town.models[device].exact(device, quantity, at_ms, self.town.sectors[device])
        if quantities()[quantity.partition("/")[0]].kind == "counter":
            return math.floor(exact * 10 - 1) / 10
        return float(f"{exact:.6g}")

    def samples(self, gateway: str, at_ms: int) -> list[Sample]:
        """What all devices of a gateway measure at a tick."""
        return [self._sample(device.id, at_ms) for device in self.town.gateway(gateway).devices]

    def _sample(self, device: str, at_ms: int) -> Sample:
        named = self._named[device]
        readings = tuple(Reading(q, self.truth(device, name, at_ms), unit, c) for name, q, c, unit in named)
        return Sample(device, at_ms, readings)


class Ramps(Shapes):
    """Cheap readings for load: numbers that go round, each its own."""

    def truth(self, device: str, quantity: str, at_ms: int) -> float:
        """Value of a quantity at a tick."""
        start = zlib.crc32(f"{device}/{quantity}".encode()) % 1000
        return (start + at_ms // self.interval_ms % 1000) / 8


def _named(device: Device) -> list[tuple[str, str, str, str]]:
    """Return name, quantity, channel and unit of all that a device measures."""
    names = [(name, *name.partition("/")) for name in device.model.names]
    return [(name, quantity, channel, quantities()[quantity].unit) for name, quantity, _, channel in names]


def ticks(source: Source, after_ms: int, until_ms: int) -> range:
    """Return the ticks in a stretch of time, its end included and its beginning not."""
    step = source.interval_ms
    return range((after_ms // step + 1) * step, until_ms + 1, step)


def payload(source: Source, gateway: str, stream: str, number: int, span: tuple[int, int]) -> tuple[bytes, int]:
    """Seal a stretch of time of one gateway as a batch; returns it with how many readings are in it."""
    samples = [sample for at_ms in ticks(source, *span) for sample in source.samples(gateway, at_ms)]
    packed = zstandard.ZstdCompressor(level=QUICK_LEVEL).compress(pack.encode(samples))
    header = wire_batch.seal_header(stream, number, span[1], packed)
    return header + packed, sum(len(sample.readings) for sample in samples)


def polls(source: Source, gateway: str, after_ms: int, until_ms: int) -> Iterator[Poll]:
    """Return what an account has to know of a stretch of time."""
    for at_ms in ticks(source, after_ms, until_ms):
        for device in source.town.gateway(gateway).devices:
            yield Poll(device.id, at_ms)


def witness(source: Source, after_ms: int, until_ms: int) -> Witness:
    """What an account of such readings needs: their times are exact."""
    whole = source.town.witness(after_ms + 1, until_ms + 1)
    return replace(whole, truth=source.truth, interval_ms=0)
