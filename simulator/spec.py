"""A town as data: its sites, gateways, buses and devices, and the truth of what they measure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from simulator.account import Witness
from simulator.kinds import MODBUS_RTU, MODBUS_TCP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.faults import Wrong
    from simulator.kinds import Kind


class Model(Protocol):
    """One model of device: what it measures, and the truth of it."""

    @property
    def profile(self) -> str:
        """Name of its profile."""

    @property
    def names(self) -> tuple[str, ...]:
        """What it measures, as on the wire."""

    def exact(self, device: str, quantity: str, at_ms: int, sector: str = "") -> float:
        """What is measured at a Unix time in ms, in the quantity's unit, before any digit is dropped."""

    def truth(self, device: str, quantity: str, at_ms: int, sector: str = "") -> float:
        """What a correct reading of a word of a Unix time in ms must be, in the quantity's unit."""

    def distorted(self, device: str, quantity: str, at_ms: int, wrong: Wrong, sector: str = "") -> float | None:
        """As `truth`, for a device whose values are wrong; None where there is no value then."""

    def count(self, device: str, at_ms: int, wrong: Wrong | None = None, sector: str = "") -> int:
        """How many readings one word makes."""


@dataclass(frozen=True)
class Device:
    """One device of the town."""

    id: str
    model: Model
    site: str
    bus: str
    unit: int = 1
    """Its place on the bus: unit id, address, number of the lane."""
    interval_s: float | None = None
    """Between two samples; the town's unless set."""


@dataclass(frozen=True)
class GatewaySpec:
    """One gateway with its devices."""

    id: str
    site: str
    """Where it hangs."""
    devices: tuple[Device, ...]
    lines: frozenset[str] = frozenset()
    """Buses that are Modbus lines on a serial port."""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    """Buses that are no Modbus; every other is a Modbus TCP endpoint of its own."""

    def kind(self, bus: str) -> Kind:
        """Return what kind a bus is of."""
        return self.kinds.get(bus) or (MODBUS_RTU if bus in self.lines else MODBUS_TCP)

    @cached_property
    def buses(self) -> Mapping[str, tuple[Device, ...]]:
        """Bus -> its devices, in the order of the table."""
        names = dict.fromkeys(device.bus for device in self.devices)
        return {bus: tuple(device for device in self.devices if device.bus == bus) for bus in names}


@dataclass(frozen=True)
class TownSpec:
    """A town. Ids of gateways, buses and devices are unique in it."""

    name: str
    sites: Mapping[str, Mapping[str, object]]
    gateways: tuple[GatewaySpec, ...]
    interval_s: float
    """Between two polls of a device."""

    @cached_property
    def devices(self) -> tuple[Device, ...]:
        """All devices."""
        return tuple(device for gateway in self.gateways for device in gateway.devices)

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """Device -> its model."""
        return {device.id: device.model for device in self.devices}

    @cached_property
    def sectors(self) -> Mapping[str, str]:
        """Device -> the sector of its site."""
        return {device.id: str(self.sites[device.site]["sector"]) for device in self.devices}

    @cached_property
    def quantities(self) -> Mapping[str, tuple[str, ...]]:
        """Device -> its quantities, as on the wire."""
        return {device.id: device.model.names for device in self.devices}

    def interval_of(self, device: Device) -> float:
        """Seconds between two samples of a device."""
        return device.interval_s or self.interval_s

    @property
    def speaking_s(self) -> float:
        """How long it takes until every device that speaks by itself has had its turn; 0 where none does."""
        speaking = (d for g in self.gateways for bus, on_it in g.buses.items() if g.kind(bus).speaks for d in on_it)
        return max((self.interval_of(device) for device in speaking), default=0.0)

    def gateway(self, name: str) -> GatewaySpec:
        """One gateway.

        Raises: KeyError where there is none of that id.
        """
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> Mapping[str, GatewaySpec]:
        return {gateway.id: gateway for gateway in self.gateways}

    def truth(self, device: str, quantity: str, polled_at_ms: int) -> float:
        """What a correct reading of a device's quantity must be, for a poll at a Unix time in ms.

        Raises: KeyError for a device that is none of the town's.
        """
        return self.models[device].truth(device, quantity, polled_at_ms, self.sectors[device])

    def distorted(self, device: str, quantity: str, polled_at_ms: int, wrong: Wrong) -> float | None:
        """As `truth`, for a poll under a fault that makes values wrong; None where there is no value then."""
        return self.models[device].distorted(device, quantity, polled_at_ms, wrong, self.sectors[device])

    def witness(self, since_ms: int, until_ms: int | None = None) -> Witness:
        """What an account of this town's readings from one Unix time in ms until another needs."""
        return Witness(
            quantities=self.quantities,
            truth=self.truth,
            interval_ms=round(self.interval_s * 1000),
            since_ms=since_ms,
            gateways=frozenset(gateway.id for gateway in self.gateways),
            until_ms=until_ms,
            distorted=self.distorted,
        )
