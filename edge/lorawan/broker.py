"""LoRaWAN networks that publish what they hear to a broker: what is common to ChirpStack and The Things Stack."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Protocol

import msgspec

from base.errors import PermanentError, TransientError
from base.retry import Backoff
from edge import planning
from edge.hearing import Said
from edge.interface import Measured
from edge.lorawan import profile as profiles
from edge.lorawan.codec.errors import NoWorkerError
from edge.lorawan.counting import FrameCounter, Verdict
from edge.lorawan.mapped import profile_for
from edge.lorawan.model import Model, radio_readings
from edge.mqtt_bus import MqttBus, MqttPlan, MqttTarget, Topic
from edge.mqtt_config import MqttSourceConfig, session_of
from wire.command import Configure, Downlink
from wire.ids import END
from wire.town import DeviceEntry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from base.strict_yaml import Document, Path_
    from edge.json_values.taking import Taken
    from edge.lorawan.model import Said as Meant
    from edge.lorawan.profile import LorawanProfile
    from edge.lorawan.uplink import Uplink
    from edge.mqtt_source import Message, MqttSource
    from wire.readings import Reading

logger = logging.getLogger(__name__)

WORKER_S = 5.0
"""How soon a message is tried again that no codec could decode for want of a worker."""
MOST_STRANGERS = 200
"""Devices of the network that no entry has, as the log names them; then it is silent."""
_DATA = b"-_", b"+/"
_NAMES = dict.fromkeys(Verdict, ("new",)) | {
    Verdict.RESET: ("new", "counter_reset"),
    Verdict.SESSION: ("new", "joins"),
    Verdict.DUPLICATE: ("duplicates",),
    Verdict.REPLAY: ("replay",),
}
"""As what an uplink is counted."""


class LorawanDevice(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device of the network."""

    dev_eui: Annotated[
        str, msgspec.Meta(pattern=r"^[0-9A-Fa-f]{16}" + END, description="16 hexadecimal digits, in quotes")
    ]
    """Its DevEUI, as on its label."""
    network_decodes: bool = False
    """Take what the network's own codec made of the message. Unless set, our codec reads the raw bytes."""


class LorawanBusConfig(MqttSourceConfig, frozen=True, kw_only=True):
    """What a bus of a LoRaWAN network has beside its broker."""

    codecs: str | None = None
    """A directory with your own copy of a codec repository, for devices that name a `codec` in place of a profile;
    relative to this file."""
    devices: Annotated[list[LorawanDevice], msgspec.Meta(min_length=1)]
    """Those of its devices that are this town's."""


class Event(NamedTuple):
    """An uplink, as a network tells of it."""

    uplink: Uplink
    decoded: dict[str, Any] | None
    """What the network's own codec made of it."""
    address: tuple[str, str]
    """Under which names the network knows it: application, device."""


class Network(Protocol):
    """What differs from one network to the other."""

    def read(self, topic: str, payload: bytes) -> Event | None:
        """Return the uplink of a message; None where it is something else.

        Raises: ValueError, in words, where it cannot be read.
        """

    def downlink(self, address: tuple[str, str], port: int, payload: bytes, *, confirmed: bool) -> tuple[str, bytes]:
        """Return topic and message that queue a downlink."""


@dataclass(frozen=True)
class LorawanTarget(MqttTarget):
    """One device of such a bus."""

    profile: LorawanProfile = field(kw_only=True, repr=False)
    """Compared: where a gateway's file maps a codec, its name does not tell how."""
    dev_eui: str = field(kw_only=True)
    network_decodes: bool = field(kw_only=True)
    model: Model = field(kw_only=True, repr=False)
    """The same one for the same codec and mapping: a reload finds out where one of them was changed."""


@dataclass
class _State:
    """What is known of one device."""

    target: LorawanTarget
    counter: FrameCounter = field(default_factory=FrameCounter)
    address: tuple[str, str] | None = None


def plan_of(
    document: Document, path: Path_, bus: str, config: LorawanBusConfig, topics: Sequence[Topic], network: Network
) -> MqttPlan:
    """Check the devices of a bus, and plan it.

    Raises: ConfigError at the line that is wrong.
    """
    targets: list[LorawanTarget] = []
    owners: dict[str, str] = {}
    for index, device in enumerate(config.devices):
        at = (*path, "devices", index)
        dev_eui = device.dev_eui.lower()
        if dev_eui in owners:
            found = f"the DevEUI {device.dev_eui}, which {owners[dev_eui]!r} has"
            raise document.error((*at, "dev_eui"), found, "a DevEUI of its own")
        if dev_eui == "0" * 16:
            raise document.error((*at, "dev_eui"), "nothing but zeros", "the DevEUI on the device's label")
        owners[dev_eui] = device.id
        profile = profile_for(document, at, device, config.codecs)
        values = planning.parameters_of(document, at, device, profile)
        meaning = (device.profile, tuple(sorted(values.items())), dev_eui, device.network_decodes)
        targets.append(
            LorawanTarget(
                device.id,
                device.interval_s or profile.interval_s,
                meaning,
                profile=profile,
                dev_eui=dev_eui,
                network_decodes=device.network_decodes,
                model=profiles.compile_model(profile, values),
            )
        )

    def make(plan: MqttPlan, _source: MqttSource) -> NetworkInterpreter:
        return NetworkInterpreter(plan, network)

    return MqttPlan(bus, session_of(document, bus, config), tuple(topics), tuple(targets), make, LorawanMqttBus)


class NetworkInterpreter:
    """Understands what a network publishes."""

    def __init__(self, plan: MqttPlan, network: Network) -> None:
        self.network = network
        self._bus = plan.id
        self._states: dict[str, _State] = {}
        self._by_eui: dict[str, _State] = {}
        self._strangers: set[str] = set()
        self.counts: Counter[str] = Counter()
        """By the names of `edge.counts`."""
        self._unread = Backoff(f"bus {plan.id}: a message that cannot be read", logger)
        self._waiting = Backoff(f"bus {plan.id}: decoding", logger)
        self.follow(plan.devices)

    async def understand(self, message: Message) -> Sequence[Said]:
        """Return what a message says."""
        try:
            event = self.network.read(message.topic, message.payload)
        except ValueError as error:
            self.counts["rubbish"] += 1
            self._unread.failed(f"{message.topic}: {error}")
            return []
        if event is None or message.is_retained:
            return []
        state = self._by_eui.get(event.uplink.dev_eui)
        if state is None:
            self.counts["foreign"] += 1
            self._meet(event.uplink.dev_eui)
            return []
        state.address = event.address
        uplink = event.uplink
        at_ms = time.time_ns() // 1_000_000 if uplink.received_at_ms is None else uplink.received_at_ms
        counted = state.counter.take(uplink, at_ms)
        for name in _NAMES[counted.verdict]:
            self.counts[name] += 1
        if not counted.verdict.counts:
            logger.info("bus %s, device %s: a %s", self._bus, state.target.id, counted.verdict.value)
            return [Said(state.target.id)]
        meant = await self._meant(state.target, event, counted.lost)
        return list(_samples(state.target.id, meant, uplink, message, counted.verdict))

    async def _meant(self, target: LorawanTarget, event: Event, lost: int) -> Meant:
        uplink = event.uplink
        if target.network_decodes:
            at_ms = time.time_ns() // 1_000_000 if uplink.received_at_ms is None else uplink.received_at_ms
            meant = target.model.read(event.decoded or {}, at_ms, radio_readings(uplink, lost))
            if uplink.payload and event.decoded is None:
                return meant._replace(fault="the network has decoded nothing: see its codec for this device")
            return meant
        while True:
            try:
                meant = await target.model.readings(uplink, lost=lost)
            except NoWorkerError as error:
                await asyncio.sleep(max(error.retry_after_s or WORKER_S, self._waiting.failed(error)))
                continue
            self._waiting.succeeded()
            return meant

    def _meet(self, dev_eui: str) -> None:
        """Name a device that nobody has entered, once."""
        if dev_eui not in self._strangers and len(self._strangers) < MOST_STRANGERS:
            self._strangers.add(dev_eui)
            logger.info("bus %s: the network has a device %s, which no entry here has", self._bus, dev_eui)

    def state(self, device: str) -> _State:
        """Return what is known of a device."""
        return self._states[device]

    def follow(self, devices: Sequence[MqttTarget]) -> None:
        """Go on with other devices; the frame counters of those that did not change stay."""
        before, self._states = self._states, {}
        for target in devices:
            if isinstance(target, LorawanTarget):
                known = before.get(target.id)
                is_same = known is not None and known.target.meaning == target.meaning
                state = self._states[target.id] = known if known is not None and is_same else _State(target)
                state.target = target
        self._by_eui = {state.target.dev_eui: state for state in self._states.values()}
        self._strangers -= self._by_eui.keys()

    async def close(self) -> None:
        """Nothing is held: the codecs are the whole gateway's."""


class LorawanMqttBus(MqttBus):
    """The open bus of a network; it can also send."""

    def counts(self) -> Mapping[str, int]:
        """Return what was counted since the bus was opened, by name."""
        assert isinstance(self.interpreter, NetworkInterpreter)  # noqa: S101 - `plan_of` has made it
        return self.interpreter.counts

    async def carry_out(self, command: Configure | Downlink) -> dict[str, Any]:
        """Queue a downlink with the network, which sends it after the device's next uplink.

        Raises: PermanentError where the profile does not declare it; TransientError where the network cannot be told.
        """
        assert isinstance(self.interpreter, NetworkInterpreter)  # noqa: S101 - `plan_of` has made it
        state = self.interpreter.state(command.device)
        if isinstance(command, Configure):
            encoded = await state.target.model.encode(state.target.dev_eui, command.setting, command.value)
            port, payload, confirmed = encoded.f_port, encoded.payload, False
        else:
            if command.port is None:
                raise PermanentError("a LoRaWAN device wants a port: 1 to 223")
            port, payload, confirmed = command.port, bytes.fromhex(command.payload), command.confirmed
        if state.address is None:
            raise TransientError(f"device {command.device}: nothing was heard of it yet, so its address is not known")
        topic, message = self.interpreter.network.downlink(state.address, port, payload, confirmed=confirmed)
        self.source.publish(topic, message)
        return {"network": str(self.plan.session), "topic": topic, "port": port, "payload": payload.hex()}


def _samples(device: str, meant: Meant, uplink: Uplink, message: Message, verdict: Verdict) -> list[Said]:
    """Make samples of what an uplink means, the oldest first."""
    said = [Said(device, _measured(taken, uplink, message)) for taken in meant.before]
    now = meant.now
    if verdict is Verdict.FIRST:  # how many were lost before it, nobody knows: after a restart it may have been said
        now = now._replace(readings=tuple(each for each in now.readings if each.quantity != "frames_lost"))
    return [*said, Said(device, _measured(now, uplink, message), meant.fault or "")]


def _measured(taken: Taken, uplink: Uplink, message: Message) -> Measured:
    at_ms = uplink.received_at_ms if taken.at_ms is None else taken.at_ms
    readings: tuple[Reading, ...] = taken.readings
    return Measured(readings, message.arrived_s, taken.without_value, at_ms)


def data_of(text: str) -> bytes:
    """Read base64, padded or not, of either alphabet.

    Raises: ValueError where it is none.
    """
    data = text.strip().encode("ascii", "replace").translate(bytes.maketrans(*_DATA)).rstrip(b"=")
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("a payload that is no base64") from error


def text_of(data: bytes) -> str:
    """Write base64."""
    return base64.b64encode(data).decode()
