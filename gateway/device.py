"""One device as the agent knows it: its settings, its last values, whether it answers, what is to be recorded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from base.retry import Backoff
from edge.plausibility import judge as judges
from gateway import clock
from gateway.dead_band import DeadBand
from gateway.reach import BusReport, Reach
from wire.readings import Sample

if TYPE_CHECKING:
    from edge.interface import Measured, PlannedDevice, Traffic
    from edge.plausibility.judge import Judge, Suspicion
    from wire.readings import Reading
    from wire.town import DeviceEntry

logger = logging.getLogger(__name__)

TIE_MS = 1000
"""So little may a device's times overlap and be moved on; more is a step of the wall clock."""


class Latest(NamedTuple):
    """The last value of one reading, recorded or not."""

    value: float
    unit: str
    at_ms: int


class DeviceState:
    """What is known of one device; it outlives reloads, and the bus on which the device is read."""

    def __init__(self, planned: PlannedDevice, bus: str = "", entry: DeviceEntry | None = None) -> None:
        self.id = planned.id
        self.reach = Reach()
        self.report = BusReport()
        self.latest: dict[str, Latest] = {}
        self.read_at_ms: int | None = None
        self.error = ""
        """Why the last reading failed; empty where it did not."""
        self.backoff = Backoff("", logger)
        self._last_ms = 0
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
            if self._model != (entry.profile, entry.parameters):
                self.latest.clear()  # they were another model's
            band = (entry.dead_band, entry.dead_band_max_s, planned.interval_s)
            if band != self._settings or self._model != (entry.profile, entry.parameters):
                self._band = DeadBand(*band) if entry.dead_band else None
            if self._model != (entry.profile, entry.parameters):
                self.judge = judges.of_device(planned, entry)
            self._settings, self._model = band, (entry.profile, entry.parameters)
        self.backoff.what = f"device {planned.id} on bus {bus}"

    def suspicions(self) -> list[Suspicion]:
        """Return which of its readings are not believed now, and why."""
        return self.judge.suspicions() if self.judge is not None else []

    def answered(self, measured: Measured, traffic: Traffic) -> Sample | None:
        """Take what the device said; returns what of it is to be recorded."""
        measured = self._judged(measured)
        at_ms = self._take(measured)
        readings = measured.readings
        if self._band is not None:
            readings = self._band.sift(readings, measured.at_s)
        about = self.reach.answered(measured.at_s) + self.report.due(traffic, measured.at_s)
        return self._sample(at_ms, readings + about)

    def asked(self, measured: Measured) -> Sample:
        """Take what the device said because somebody asked; the whole of it is to be recorded."""
        measured = self._judged(measured)
        return self._stamped(self._take(measured), measured.readings)

    def _judged(self, measured: Measured) -> Measured:
        if self.judge is None:
            return measured
        return measured._replace(readings=self.judge.judged(measured.readings, measured.at_s))

    def _take(self, measured: Measured) -> int:
        self.backoff.succeeded()
        self.error = ""
        at_ms = clock.wall_ms(measured.at_s)
        self.read_at_ms = at_ms
        for reading in measured.readings:
            self.latest[reading.name] = Latest(reading.value, reading.unit, at_ms)
        return at_ms

    def unanswered(self, error: Exception, now_s: float, traffic: Traffic) -> Sample | None:
        """Note that the device did not answer; returns what is to be said of that."""
        self.backoff.failed(error)
        self.error = str(error)
        if self._band is not None:
            self._band.forget()
        return self._sample(clock.wall_ms(now_s), self.reach.failed(now_s) + self.report.due(traffic, now_s))

    def refused(self, error: Exception, now_s: float, traffic: Traffic) -> Sample | None:
        """Note that the device is there and gave no values; returns what is to be said of that."""
        self.backoff.failed(error)
        self.error = str(error)
        if self._band is not None:
            self._band.forget()
        return self._sample(clock.wall_ms(now_s), self.reach.answered(now_s) + self.report.due(traffic, now_s))

    def parked(self, now_s: float, traffic: Traffic) -> Sample | None:
        """Note that the device was not asked; returns what is to be said again."""
        return self._sample(clock.wall_ms(now_s), self.reach.still(now_s) + self.report.due(traffic, now_s))

    def _sample(self, at_ms: int, readings: tuple[Reading, ...]) -> Sample | None:
        return self._stamped(at_ms, readings) if readings else None

    def _stamped(self, at_ms: int, readings: tuple[Reading, ...]) -> Sample:
        self._last_ms = self._stamp(at_ms)
        return Sample(self.id, self._last_ms, readings)

    def _stamp(self, at_ms: int) -> int:
        """Return the time of a sample: a tie with the last one moves on by 1 ms, so that no two fall on one point."""
        if at_ms > self._last_ms:
            return at_ms
        if self._last_ms - at_ms < TIE_MS:
            return self._last_ms + 1
        logger.warning("the wall clock went back by %d ms; device %s follows it", self._last_ms - at_ms, self.id)
        return at_ms
