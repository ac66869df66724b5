"""The open bus: what concentrators hear of its devices becomes samples; what city IT orders waits for them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from base.errors import ConfigError, MessnetzError, PermanentError, Position, TransientError
from base.retry import Backoff
from edge.interface import Heard, Measured, NoAnswerError, ParkedError, Traffic
from edge.lorawan import keys as keyring
from edge.lorawan import profile as profiles
from edge.lorawan.codec.errors import NoWorkerError
from edge.lorawan.concentrators import Concentrators
from edge.lorawan.network import Member, Network
from edge.lorawan.state import State
from edge.lorawan.udp.driver import LorawanUdpPlan
from edge.speaking import SpeakingBus
from wire.command import Configure, Downlink

if TYPE_CHECKING:
    from edge.interface import BusPlan
    from edge.json_values.taking import Taken
    from edge.lorawan.model import Model
    from edge.lorawan.network import Received
    from edge.lorawan.state import Downlink as Queued
    from edge.lorawan.udp.driver import LorawanTarget

logger = logging.getLogger(__name__)

PATIENCE = 3.5
"""Intervals without a word after which a device counts as silent: LoRaWAN loses frames now and then."""
LEAST_PATIENCE_S = 600.0
DECODE_AGAIN_S = 5.0
SAY_S = 3600.0
"""How often the log tells what was counted."""
TAKEN_S = 1.3
"""How long the acknowledgement of a message waits until it is decoded and delivered; RX2 can be met then."""


class LorawanUdpBus(SpeakingBus):
    """An open network. A task of its own keeps its socket open."""

    def __init__(self, plan: LorawanUdpPlan) -> None:
        self._plan = plan
        self._targets: dict[str, LorawanTarget] = {}
        self._by_eui: dict[str, LorawanTarget] = {}
        self._models: dict[str, Model] = {}
        self._network: Network | None = None
        self._concentrators: Concentrators | None = None
        self._state: State | None = None
        self._opening = asyncio.Lock()
        self._ready: deque[tuple[Heard, asyncio.Event | None]] = deque()
        """Samples, and with the last one of an uplink what tells that it was taken."""
        self._taking: Received | None = None
        self._heard_s: dict[str, float] = {}
        self._faults: Counter[str] = Counter()
        self._fault_log: dict[str, Backoff] = {}
        self._began_s = time.monotonic()
        self._why = ""
        self._backoff = Backoff(f"bus {plan.id}", logger, cap_s=15.0)
        self._decoding = Backoff(f"bus {plan.id}: decoding", logger)
        self._say_at_s = self._began_s + SAY_S
        self._take(plan)

    def _take(self, plan: LorawanUdpPlan) -> None:
        self._plan = plan
        self._targets = {target.id: target for target in plan.devices}
        self._by_eui = {target.dev_eui: target for target in plan.devices}
        self._models = {target.id: profiles.compile_model(target.profile, target.parameters) for target in plan.devices}

    async def heard(self) -> Heard:
        """Wait for the next sample of any device."""
        network = await self._opened()
        while not self._ready:
            if self._taking is None:
                self._taking = await network.uplinks.get()
            try:
                await self._decode(self._taking)
            except asyncio.CancelledError:  # a reload: its successor decodes it
                raise
            except Exception:
                self._taking = None
                raise
            self._taking = None
        heard, taken = self._ready.popleft()
        if taken is not None:  # whoever waits for it has its turn when this sample was delivered
            taken.set()
        return heard

    async def _opened(self) -> Network:
        """Return the server; open it before, however often that has to be tried."""
        async with self._opening:
            while self._network is None:
                try:
                    await self._open()
                    self._backoff.succeeded()
                    self._why = ""
                except MessnetzError as error:
                    self._why = str(error)
                    await asyncio.sleep(self._backoff.failed(error))
            return self._network

    async def _open(self) -> None:
        plan, members = self._plan, self._members()
        if self._state is None:
            self._state = await asyncio.to_thread(State, plan.state)
        concentrators = Concentrators(plan.id, plan.concentrators)
        network = Network(
            plan.id, self._state, concentrators, net_id=plan.net_id, antenna_gain_dbi=plan.antenna_gain_dbi
        )
        network.patience_s = TAKEN_S
        network.serve(members)
        concentrators.on_frame = network.frame
        await concentrators.open(plan.host, plan.port)
        self._concentrators, self._network = concentrators, network

    def _members(self) -> dict[str, Member]:
        """Return the devices with their keys, which are read now where they were not at hand before.

        Raises: ConfigError where they are not at hand now either.
        """
        file = self._plan.keys_file
        late = keyring.load(file) if any(target.keys is None for target in self._plan.devices) else {}
        members: dict[str, Member] = {}
        for eui, target in self._by_eui.items():
            keys = target.keys or late.get(eui)
            if keys is None or not keys.is_whole:
                found = f"{eui}, of which {keyring.lacking(keys, file)}"
                raise ConfigError(Position(file), found, "an app_key, or a whole session")
            members[eui] = Member(eui, keys, may_reset=target.may_reset)
        return members

    async def _decode(self, received: Received) -> None:
        """Make samples of an uplink, those of former times first; the last one commits its counter."""
        target = self._by_eui.get(received.uplink.dev_eui)
        if target is None:  # a reload has let it go
            return
        self._heard_s[target.id] = received.at_s
        model = self._models[target.id]
        while True:
            try:
                said = await model.readings(received.uplink, lost=received.lost)
                break
            except NoWorkerError as error:
                await asyncio.sleep(max(DECODE_AGAIN_S, self._decoding.failed(error)))
        self._decoding.succeeded()
        if said.fault is not None:
            self._faults[target.id] += 1
            self._log_of(target.id).failed(said.fault)
        else:
            self._log_of(target.id).succeeded()
        samples = [_measured(taken, received.at_s) for taken in (*said.before, said.now)]
        self._ready.extend((Heard(target.id, measured), None) for measured in samples[:-1])
        last = Heard(target.id, samples[-1], before_sealing=received.before_sealing)
        self._ready.append((last, received.taken))

    def _log_of(self, device: str) -> Backoff:
        if device not in self._fault_log:
            self._fault_log[device] = Backoff(f"device {device} on bus {self._plan.id}", logger, log_interval_s=3600.0)
        return self._fault_log[device]

    async def read(self, device: str) -> Measured:
        """Say whether a device was heard lately.

        Raises: ParkedError where it was, or may yet be; NoAnswerError where it is silent for too long.
        """
        self._say_counts()
        patience_s = max(LEAST_PATIENCE_S, PATIENCE * self._targets[device].interval_s)
        now_s = time.monotonic()
        silent_s = now_s - self._heard_s.get(device, self._began_s)
        if silent_s < patience_s:
            raise ParkedError(f"device {device} speaks when it wants; silent for {silent_s:.0f} s")
        raise NoAnswerError(self._why or self._why_silent(device, silent_s))

    def _say_counts(self) -> None:
        if time.monotonic() < self._say_at_s:
            return
        self._say_at_s = time.monotonic() + SAY_S
        counted = ", ".join(f"{count} {name}" for name, count in sorted(self.counts().items()) if count)
        logger.info("bus %s, since it was opened: %s", self._plan.id, counted or "nothing was heard")

    def _why_silent(self, device: str, silent_s: float) -> str:
        eui = self._targets[device].dev_eui
        if self._concentrators is not None and not self._concentrators.is_any_there:
            return "no concentrator reports: is the packet forwarder running, and set to this address?"
        if self._network is not None and self._network.refused[eui]:
            return f"{eui}: nothing new for {silent_s:.0f} s, but {self._network.refused[eui]} frames were refused"
        return f"{eui}: nothing heard for {silent_s:.0f} s"

    def traffic(self, device: str) -> Traffic:
        """Return how many of a device's frames came, and how many were refused or could not be read."""
        if self._network is None:
            return Traffic()
        eui = self._targets[device].dev_eui
        return Traffic(self._network.heard[eui], self._network.refused[eui] + self._faults[device])

    def counts(self) -> dict[str, int]:
        """Return what concentrators and network server have counted since the bus was opened, by name."""
        return dict(self._network.counts) if self._network is not None else {}

    async def carry_out(self, command: Configure | Downlink) -> dict[str, Any]:
        """Keep a downlink for a device; it goes out when the device has next spoken.

        Returns: its number and state, and what became of those before it.
        Raises: PermanentError where there is no port, the profile does not declare the setting, or too many wait;
        TransientError where the network is not open, or the disk does not let it.
        """
        network, target = self._network, self._targets[command.device]
        if network is None:
            raise TransientError(f"bus {self._plan.id} is not open: {self._why}")
        if isinstance(command, Configure):
            encoded = await self._models[target.id].encode(target.dev_eui, command.setting, command.value)
            port, payload, is_confirmed = encoded.f_port, encoded.payload, True
        elif command.port is None:
            raise PermanentError("a downlink of LoRaWAN needs a port (FPort)")
        else:
            port, payload, is_confirmed = command.port, bytes.fromhex(command.payload), command.confirmed
        queued = await network.queue(target.dev_eui, port, payload, is_confirmed=is_confirmed)
        before = [_shown(each) for each in network.downlinks(target.dev_eui) if each.id != queued.id]
        return {**_shown(queued), "before": before}

    def follow(self, plan: BusPlan) -> None:
        """Go on with other devices; sessions of those that stay, stay."""
        if not isinstance(plan, LorawanUdpPlan):
            raise TypeError(f"bus {self._plan.id} cannot go on with a {type(plan).__name__}")
        self._take(plan)
        if self._network is not None:
            try:
                self._network.serve(self._members())
            except MessnetzError as error:
                logger.warning("bus %s: %s; its devices are taken over when it opens anew", self._plan.id, error)

    async def close(self) -> None:
        """Close the socket. What was heard and is not sealed yet can still be committed."""
        network, concentrators, state = self._network, self._concentrators, self._state
        self._network = self._concentrators = self._state = None
        if concentrators is not None:
            concentrators.close()
        try:
            if network is not None:
                await network.close()
            if state is not None:
                await asyncio.to_thread(state.close)
        except MessnetzError as error:
            logger.warning("bus %s: %s", self._plan.id, error)


def _measured(taken: Taken, at_s: float) -> Measured:
    return Measured(taken.readings, at_s, taken.without_value, taken.at_ms)


def _shown(downlink: Queued) -> dict[str, Any]:
    return {
        "id": downlink.id,
        "port": downlink.port,
        "payload": downlink.payload.hex(),
        "confirmed": bool(downlink.is_confirmed),
        "state": downlink.state,
        "tries": downlink.tries,
    }
