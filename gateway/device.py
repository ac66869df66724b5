"""One device as the agent knows it: its settings, its last values, whether it answers, what is to be recorded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from base.retry import Backoff
from edge.plausibility import judge as judges
from gateway.dead_band import DeadBand
from gateway.reach import BusReport, Reach
from gateway.stamps import Stamps, flagged
from wire.readings import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.interface import Measured, PlannedDevice, Traffic
    from edge.plausibility.judge import Judge, Suspicion
    from gateway.stamps import SourceTime, Stamp
    from wire.readings import Reading
    from wire.town import DeviceEntry

logger = logging.getLogger(__name__)


class Latest(NamedTuple):
    """The last value of one reading, recorded or not."""

    value: float
    unit: str
    at_s: float
    """On the monotonic clock."""


class DeviceState:
    """What is known of one device; it outlives reloads, and the bus on which the device is read."""

    def __init__(
        self,
        planned: PlannedDevice,
        stamp: Callable[[float], Stamp],
        bus: str = "",
        entry: DeviceEntry | None = None,
    ) -> None:
        """`stamp` makes a time of one on the monotonic clock."""
        self._stamps = Stamps(stamp)
        self.id = planned.id
        self.reach = Reach()
        self.report = BusReport()
        self.latest: dict[str, Latest] = {}
        self.read_at_s: float | None = None
        """On the monotonic clock."""
        self.error = ""
        """Why the last reading failed; empty where it did not."""
        self.backoff = Backoff("", logger)
        self.judge: Judge | None = None
        """Judges what the device says; None where no profile tells what is plausible."""
        self._band: DeadBand | None = None
        self._settings: tuple[object, ...] = ()
        self._model: tuple[object, ...] = ()
        self.configure(planned, bus, entry)

    def configure(self, planned: PlannedDevice, bus: str, entry: DeviceEntry | None) -> None:
        """Take settings; what is known of the device stays, the dead band's memory where its settings did."""
        self.interval_s = planned.interval_s
        self.urgent = entry is not None and entry.urgent
        if entry is not None:
            model = (entry.profile, entry.parameters, entry.mapping)  # a mapping's name does not tell paths and factors
            if self._model != model:
                self.latest.clear()  # they were another model's
            band = (entry.dead_band, entry.dead_band_max_s, planned.interval_s)
            if band != self._settings or self._model != model:
                self._band = DeadBand(*band) if entry.dead_band else None
            if self._model != model:
                self.judge = judges.of_device(planned, entry)
            self._settings, self._model = band, model
        self.backoff.what = f"device {planned.id} on bus {bus}"

    def suspicions(self) -> list[Suspicion]:
        """Return which of its readings are not believed now, and why."""
        return self.judge.suspicions() if self.judge is not None else []

    def answered(self, measured: Measured, traffic: Traffic | None = None) -> list[Sample]:
        """Take what the device said; returns what of it is to be recorded.

        What the agent has to say of it carries the agent's time, the readings their source's where it has one.
        `traffic`: of its bus; None where it spoke by itself.
        """
        own, measured = self._taken(measured)
        readings = measured.readings
        if self._band is not None:
            readings = self._band.sift(readings, measured.at_s)
        now_s = measured.at_s if own is None else own.arrived_s
        about = self.reach.answered(now_s) + (self.report.due(traffic, now_s) if traffic is not None else ())
        if own is None:
            sample = self._sample(measured.at_s, readings + about)
            return [sample] if sample is not None else []
        later = self._sample(now_s, about)
        return ([own.stamped(self.id, readings)] if readings else []) + ([later] if later is not None else [])

    def asked(self, measured: Measured) -> Sample:
        """Take what the device said because somebody asked; the whole of it is to be recorded."""
        own, measured = self._taken(measured)
        if own is not None:
            return own.stamped(self.id, measured.readings)
        return self._stamped(measured.at_s, measured.readings)

    def _taken(self, measured: Measured) -> tuple[SourceTime | None, Measured]:
        """Judge what was said, at the time at which it was measured; returns that time where it is the source's own."""
        own = None
        if measured.at_ms is not None:
            own = self._stamps.of_source(measured.at_ms, measured.at_s, measured.readings)
            measured = measured._replace(at_s=own.at_s)
        if self.judge is not None:
            arrived_s = None if own is None else own.arrived_s
            measured = measured._replace(readings=self.judge.judged(measured.readings, measured.at_s, arrived_s))
        self._take(measured)
        return own, measured

    def _take(self, measured: Measured) -> None:
        self.backoff.succeeded()
        self.error = ""
        self.read_at_s = measured.at_s if self.read_at_s is None else max(self.read_at_s, measured.at_s)
        for reading in measured.readings:
            known = self.latest.get(reading.name)
            if known is None or known.at_s <= measured.at_s:  # else it came late: a newer one is known
                self.latest[reading.name] = Latest(reading.value, reading.unit, measured.at_s)

    def unanswered(self, error: Exception, now_s: float, traffic: Traffic) -> Sample | None:
        """Note that the device did not answer; returns what is to be said of that."""
        self.backoff.failed(error)
        self.error = str(error)
        if self._band is not None:
            self._band.forget()
        return self._sample(now_s, self.reach.failed(now_s) + self.report.due(traffic, now_s))

    def refused(self, error: Exception, now_s: float, traffic: Traffic) -> Sample | None:
        """Note that the device is there and gave no values; returns what is to be said of that."""
        self.backoff.failed(error)
        self.error = str(error)
        if self._band is not None:
            self._band.forget()
        return self._sample(now_s, self.reach.answered(now_s) + self.report.due(traffic, now_s))

    def parked(self, now_s: float, traffic: Traffic) -> Sample | None:
        """Note that the device was not asked; returns what is to be said again."""
        return self._sample(now_s, self.reach.still(now_s) + self.report.due(traffic, now_s))

    def _sample(self, at_s: float, readings: tuple[Reading, ...]) -> Sample | None:
        return self._stamped(at_s, readings) if readings else None

    def _stamped(self, at_s: float, readings: tuple[Reading, ...]) -> Sample:
        at_ms, flags = self._stamps.next(at_s)
        return flagged(Sample(self.id, at_ms, readings), flags)
