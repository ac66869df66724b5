"""An open P1 port: the meter whose port it is, and those of gas, water or heat that it speaks for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.interface import Measured, NoAnswerError, ParkedError
from edge.listening import ListeningBus
from edge.metering import Identity
from edge.obis import Map
from edge.p1.clock import unix_ms
from edge.speaking import SpeakingBus

if TYPE_CHECKING:
    from edge.d0.lines import Lines, Timed
    from edge.interface import BusPlan, Traffic
    from edge.obis import Key, Value
    from edge.p1.driver import P1Plan, SubTarget

TYPE, NUMBER = "24.1.0", ("96.1.0", "96.1.1")


class SubMeter:
    """A meter that another one speaks for, with times of its own: the last value is said again and again."""

    def __init__(self, target: SubTarget) -> None:
        self.target = target
        self._map = Map(target.half.registers, target.parameters)
        self._identity = Identity(target.id)
        self._began_s = time.monotonic()
        self._news_s: float | None = None
        self._time = ""
        self._fresh: Measured | None = None

    def hear(self, said: Lines) -> None:
        """Take a telegram; news is only what carries another time than before."""
        channel = self._channel(said)
        own: dict[Key, Value] = {("", key[1]): value for key, value in said.values.items() if key[0] == channel}
        timed = self._timed(said, channel)
        if timed is None or timed.time == self._time:
            return
        readings = self._map.readings(own).readings
        if not readings:
            return
        self._time, self._news_s = timed.time, time.monotonic()
        self._identity.note(_number(said, channel))
        self._fresh = Measured(readings, self._news_s, at_ms=unix_ms(timed.time))

    def take(self) -> Measured:
        """Return what is new.

        Raises: ParkedError where nothing is; NoAnswerError where nothing was for too long.
        """
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            return fresh
        silent_s = time.monotonic() - (self._began_s if self._news_s is None else self._news_s)
        if silent_s < self.target.patience_s:
            raise ParkedError(f"device {self.target.id} has no new value for {silent_s:.0f} s")
        raise NoAnswerError(f"the meter says no new value of device {self.target.id} for {silent_s:.0f} s")

    def _channel(self, said: Lines) -> str:
        """Find the first channel of our type that has a value; empty where none has."""
        wanted = self.target.half.types
        for medium, rest in said.values:
            is_ours = rest == TYPE and int(said.values[medium, rest].number) in wanted
            if is_ours and self.target.channel in (None, _place(medium)) and self._timed(said, medium) is not None:
                return medium
        return ""

    @staticmethod
    def _timed(said: Lines, channel: str) -> Timed | None:
        return next((timed for key, timed in said.timed.items() if key[0] == channel), None)


def _place(medium: str) -> int:
    return int(medium.rpartition("-")[2] or 0)


def _number(said: Lines, channel: str) -> str:
    codes = {f"{channel}:{code}" for code in NUMBER}
    return next((line.groups[0] for line in said.lines if line.code in codes), "")


class P1Bus(SpeakingBus):
    """An open P1 port."""

    def __init__(self, plan: P1Plan) -> None:
        self._plan = plan
        self._subs = {target.id: SubMeter(target) for target in plan.subs}
        self._main = ListeningBus(plan.listening(self._hear))

    async def read(self, device: str) -> Measured:
        """Return what a meter said since the last time; errors as those of `ListeningBus.read`."""
        if device in self._subs:
            return self._subs[device].take()
        return await self._main.read(device)

    def traffic(self, device: str) -> Traffic:
        """Return how many telegrams came, and how many of them could not be read."""
        return self._main.traffic(device)

    def follow(self, plan: BusPlan) -> None:
        """Go on with other intervals."""
        from edge.p1.driver import P1Plan  # noqa: PLC0415 - which imports this module where a bus is opened

        if not isinstance(plan, P1Plan):
            raise TypeError(f"bus {self._plan.id} cannot go on with a {type(plan).__name__}")
        self._main.follow(plan.listening(self._hear))
        for target in plan.subs:
            self._subs[target.id].target = target
        self._plan = plan

    async def close(self) -> None:
        """Close the port."""
        await self._main.close()

    def _hear(self, said: Lines) -> None:
        for sub in self._subs.values():
            sub.hear(said)
