"""The driver `lorawan_udp`: checks a LoRaWAN network of the gateway's own at the desk."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge import planning
from edge.interface import Place
from edge.lorawan import airtime
from edge.lorawan import keys as keyring
from edge.lorawan.keys import dev_eui
from edge.lorawan.mapped import profile_for
from edge.lorawan.profile import LorawanProfile
from edge.lorawan.udp.config import STATE_DIRECTORY, LorawanUdpBusConfig
from edge.stream import parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    import msgspec

    from base.strict_yaml import Document, Path_
    from edge.interface import Bus, BusPlan
    from edge.lorawan.keys import DeviceKeys
    from edge.lorawan.udp.config import LorawanUdpDevice
    from wire import profile as public

DUTY_CYCLE = 0.01
"""What EU868 lets a device send on its channels (ETSI EN 300 220-2), each hour."""
FACTORS = (7, 8, 9, 10, 11, 12)
INTERVALS_S = (60, 120, 300, 600, 900, 1200, 1800, 3600)
"""What people write."""
EXPECTED_KEYS = "{app_key: ...}, or {dev_addr: ..., nwk_s_key: ..., app_s_key: ...}"
"""What a device needs."""


@dataclass(frozen=True)
class LorawanTarget:
    """One device of the network."""

    id: str
    dev_eui: str
    interval_s: float
    keys: DeviceKeys | None = field(repr=False)
    """None at a desk where the file of keys is not: then it is read when the bus is opened."""
    may_reset: bool
    spreading_factor: int
    profile: LorawanProfile = field(repr=False)
    parameters: Mapping[str, float]

    @property
    def airtime_s(self) -> float:
        """How long one of its messages is on the air, in seconds, at the slowest data rate that it uses."""
        return self.airtime_at(self.spreading_factor)

    def airtime_at(self, spreading_factor: int) -> float:
        """Likewise, at another spreading factor."""
        return airtime.airtime_s(self.profile.lorawan.payload_bytes + airtime.OVERHEAD, spreading_factor)


@dataclass(frozen=True)
class LorawanUdpPlan:
    """A checked network."""

    id: str
    host: str
    port: int
    concentrators: tuple[str, ...]
    net_id: int
    antenna_gain_dbi: float
    keys_file: Path
    state: Path
    devices: tuple[LorawanTarget, ...]
    listens = True

    @property
    def place(self) -> Place:
        """Where it listens."""
        return Place("listen", f"udp {self.host}:{self.port}")

    def cost_s(self, device: str) -> float:
        """How long a message of a device fills the air of one concentrator.

        Devices send when they like, and what is sent at one time on one channel is lost: eight channels that are used
        for an eighth of the time each lose a fifth.
        """
        return next(target.airtime_s for target in self.devices if target.id == device)

    def faster(self, share: float) -> str:
        """Say which spreading factor would cut the devices' airtime to this share of what it is."""
        allowed = share * sum(device.airtime_s / device.interval_s for device in self.devices)
        for factor in reversed(FACTORS):
            slowest = (min(factor, device.spreading_factor) for device in self.devices)
            needed = (device.airtime_at(f) / device.interval_s for device, f in zip(self.devices, slowest, strict=True))
            if sum(needed) <= allowed:
                return f"`data_rate: SF{factor}`, where the devices are near enough and are set to it"
        return ""

    def is_same_line(self, other: BusPlan) -> bool:
        """Whether another plan has the same socket and the same state."""
        return isinstance(other, LorawanUdpPlan) and replace(other, devices=self.devices) == self

    def open(self) -> Bus:
        """Make the bus ready; the socket is opened with the first reading."""
        from edge.lorawan.udp.bus import LorawanUdpBus  # noqa: PLC0415 - cryptography is loaded when it is first needed

        return LorawanUdpBus(self)


class LorawanUdpDriver:
    """The driver as the table knows it."""

    title = "A LoRaWAN network of its own (packet forwarder)"
    config: type[msgspec.Struct] = LorawanUdpBusConfig

    def profile_kinds(self) -> tuple[type[public.Profile], ...]:
        """Return the one kind, which all LoRaWAN sources share."""
        return (LorawanProfile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file, and its devices' keys.

        At a desk the keys are not; there is not even the directory where they would be. Then all but them is checked.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(LorawanUdpBusConfig, path)
        host, port = _listen(document, path, config)
        keys_file = document.file.parent / config.keys
        _check_state(document, path, config)
        targets = tuple(_targets(document, path, config, keys_file))
        state = Path(config.state or f"{STATE_DIRECTORY}/lorawan-{config.id}.sqlite")
        return LorawanUdpPlan(
            config.id,
            host,
            port,
            tuple(dev_eui(eui) for eui in config.concentrators),
            int(config.net_id, 16),
            config.antenna_gain_dbi,
            keys_file,
            document.file.parent / state,
            targets,
        )


def _listen(document: Document, path: Path_, config: LorawanUdpBusConfig) -> tuple[str, int]:
    endpoint = parse_endpoint(config.listen)
    if endpoint is None:
        raise document.error((*path, "listen"), repr(config.listen), "HOST:PORT, such as 127.0.0.1:1700")
    if not config.concentrators and not _is_loopback(endpoint.host):
        found = f"{config.listen!r}, which others reach, without a list of concentrators"
        raise document.error((*path, "listen"), found, "127.0.0.1:1700, or 'concentrators' with their EUIs")
    return endpoint.host, endpoint.port


def _check_state(document: Document, path: Path_, config: LorawanUdpBusConfig) -> None:
    """Refuse a state that another bus of the file has: each would use up the other's counters."""
    others = document.lookup(path[:-1]) if config.state is not None else None
    for index, other in enumerate(others) if isinstance(others, list) else ():
        if index != path[-1] and isinstance(other, dict) and other.get("state") == config.state:
            raise document.error((*path, "state"), f"{config.state!r}, which bus {index + 1} has", "a file of its own")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _targets(document: Document, path: Path_, config: LorawanUdpBusConfig, keys_file: Path) -> list[LorawanTarget]:
    keys = keyring.load(keys_file) if keys_file.parent.is_dir() else None
    targets: list[LorawanTarget] = []
    known: dict[str, str] = {}
    for index, device in enumerate(config.devices):
        at = (*path, "devices", index)
        eui = dev_eui(device.dev_eui)
        if eui in known:
            raise document.error((*at, "dev_eui"), f"{eui}, which {known[eui]!r} has", "each DevEUI once")
        known[eui] = device.id
        of_device = _keys(document, at, device, keys, keys_file)
        profile = profile_for(document, at, device, config.codecs)
        values = planning.parameters_of(document, at, device, profile)
        target = LorawanTarget(
            device.id,
            eui,
            device.interval_s or profile.interval_s,
            of_device,
            device.counter_reset == "accept",
            int(device.data_rate.removeprefix("SF")),
            profile,
            values,
        )
        _check_airtime(document, at, device, target)
        targets.append(target)
    return targets


def _keys(
    document: Document,
    at: Path_,
    device: LorawanUdpDevice,
    keys: Mapping[str, DeviceKeys] | None,
    keys_file: Path,
) -> DeviceKeys | None:
    if keys is None:
        return None
    eui = dev_eui(device.dev_eui)
    of_device = keys.get(eui)
    if of_device is None or not of_device.is_whole:
        raise document.error(
            (*at, "dev_eui"), f"{eui}, of which {keyring.lacking(of_device, keys_file)}", EXPECTED_KEYS
        )
    if device.counter_reset == "accept" and of_device.is_otaa:
        found, expected = "'accept' for a device that joins", "it with ABP only: each join counts anew"
        raise document.error((*at, "counter_reset"), found, expected)
    return of_device


def _check_airtime(document: Document, at: Path_, device: LorawanUdpDevice, target: LorawanTarget) -> None:
    share = target.airtime_s / target.interval_s
    if share <= DUTY_CYCLE:
        return
    sum_shown = (
        f"{device.data_rate}: {target.profile.lorawan.payload_bytes} octets take {target.airtime_s:.2f} s, "
        f"every {target.interval_s:g} s = {100 * share:.1f} % of the time"
    )
    raise document.error((*at, "id" if device.interval_s is None else "interval_s"), sum_shown, _remedy(target))


def _remedy(target: LorawanTarget) -> str:
    """Say what would bring a device within its duty cycle."""
    needed_s = target.airtime_s / DUTY_CYCLE
    interval_s = next((each for each in INTERVALS_S if each >= needed_s), round(needed_s) + 1)
    ways = [f"`interval_s: {interval_s}` or more (and the device set to it)"]
    for factor in reversed(FACTORS):
        if factor < target.spreading_factor and target.airtime_at(factor) / target.interval_s <= DUTY_CYCLE:
            ways.append(f"`data_rate: SF{factor}`, where the device is set to use no slower one")
            break
    return f"at most {100 * DUTY_CYCLE:g} %: {' or '.join(ways)}"


DRIVER = LorawanUdpDriver()
