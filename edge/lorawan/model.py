"""What an uplink means: the codec's result as readings, beside what is known of the radio.

    model = profile.compile_model(profile.load("elsys/ers"), parameters)
    said = await model.readings(uplink, lost=counted.lost)

Whether an uplink counts at all (`edge.lorawan.counting`) is settled before.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from base.errors import PermanentError
from edge.json_values import paths
from edge.json_values.taking import Field, Taken, fields_of, taken_of
from edge.lorawan.airtime import airtime_of
from edge.lorawan.codec.codecs import Codecs, shared
from edge.lorawan.codec.errors import CodecError
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.json_values.value import Value
    from edge.lorawan.codec.result import Encoded
    from edge.lorawan.half import History, LorawanHalf, Setting
    from edge.lorawan.uplink import Uplink

MAX_SAMPLES = 500
OLDEST_MS = 366 * 86_400_000
"""Before it came; an older time is a clock that was never set."""
AHEAD_MS = 600_000
"""After it came; a later one is a clock that is wrong."""


class Said(NamedTuple):
    """What one uplink said."""

    now: Taken
    """At the time of reception; the radio's readings at least."""
    before: tuple[Taken, ...] = ()
    """Samples of former times, the oldest first."""
    fault: str | None = None
    """Why there is less in it than there should be, in a sentence: the codec failed, or gave what its profile does not
    know. Once for each message; count it."""
    warnings: tuple[str, ...] = ()
    """What the codec remarks, such as a kind of value that it does not know: for who looks at the device."""


@dataclass(frozen=True)
class Past:
    """How samples of former times are taken."""

    samples: paths.Path
    time: paths.Path
    clock: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, eq=False)
class Model:
    """A profile compiled for one kind of device."""

    codec: str = field(repr=False)
    """JavaScript."""
    f_ports: frozenset[int]
    fields: tuple[Field, ...]
    past: Past | None
    settings: Mapping[str, Setting]
    payload_bytes: int

    @classmethod
    def of(cls, half: LorawanHalf, codec: str, parameters: Mapping[str, float]) -> Model:
        """Compile a protocol half that was checked."""
        return cls(
            codec,
            frozenset(half.f_ports),
            fields_of(half.values, parameters),
            _past(half.history, half.values, parameters),
            half.settings,
            half.payload_bytes,
        )

    async def readings(self, uplink: Uplink, *, lost: int = 0, codecs: Codecs | None = None) -> Said:
        """Decode an uplink; `lost` frames before it did not come.

        Whatever the codec does, the radio's readings are there, and `fault` tells.

        Raises: NoWorkerError where no codec can run now: try the same message again later.
        """
        radio = radio_readings(uplink, lost)
        if not uplink.payload or not uplink.f_port or (self.f_ports and uplink.f_port not in self.f_ports):
            return Said(Taken(None, radio))
        received_ms = round(time.time() * 1000) if uplink.received_at_ms is None else uplink.received_at_ms
        try:
            decoded = await (codecs or shared()).decode(
                uplink.dev_eui, self.codec, uplink.f_port, uplink.payload, received_ms
            )
        except CodecError as error:
            return Said(Taken(None, radio), fault=f"the codec {error}")
        return self.read(decoded.data, received_ms, radio)._replace(warnings=decoded.warnings)

    def read(self, data: Mapping[str, Any], received_ms: int, radio: tuple[Reading, ...] = ()) -> Said:
        """Turn what a codec gave into readings."""
        faults: list[str] = []
        now = taken_of(self.fields, data, None, faults)
        now = now._replace(readings=_merged(now.readings, radio))
        before = _before(self.past, data, received_ms, faults) if self.past is not None else ()
        return Said(now, before, faults[0] if faults else None)

    async def encode(self, device: str, setting: str, value: object, *, codecs: Codecs | None = None) -> Encoded:
        """Make the message that writes a setting. `device` is its DevEUI.

        Raises: PermanentError where the profile does not declare it, the value is out of its bounds, or the codec has
        no message for it; NoWorkerError where no codec can run now.
        """
        declared = self.settings.get(setting)
        if declared is None:
            known = ", ".join(self.settings) or "none"
            raise PermanentError(f"no setting {setting!r}; the profile declares: {known}")
        number = float(value) if isinstance(value, bool | int | float) else math.nan
        if not declared.minimum <= number <= declared.maximum:
            raise PermanentError(f"{setting} must be a number from {declared.minimum:g} to {declared.maximum:g}")
        whole = int(number) if number.is_integer() else number
        try:
            return await (codecs or shared()).encode_downlink(device, self.codec, {declared.key: whole})
        except CodecError as error:
            raise PermanentError(f"the codec {error}") from error


def radio_readings(uplink: Uplink, lost: int = 0) -> tuple[Reading, ...]:
    """Return what the reception itself tells: common to all LoRaWAN devices, and in no profile."""
    radio = uplink.radio
    airtime_s = airtime_of(uplink)
    values = {
        "rssi": radio.rssi_dbm,
        "snr": radio.snr_db,
        "spreading_factor": radio.spreading_factor,
        "frames_lost": lost,
        "airtime": None if airtime_s is None else round(airtime_s * 1000, 3),
    }
    return tuple(
        Reading(name, float(value), quantities()[name].unit)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    )


def _merged(own: tuple[Reading, ...], radio: tuple[Reading, ...]) -> tuple[Reading, ...]:
    names = {reading.name for reading in own}
    return own + tuple(reading for reading in radio if reading.name not in names)


def _before(past: Past, data: Mapping[str, Any], received_ms: int, faults: list[str]) -> tuple[Taken, ...]:
    """Take the samples of former times, one for each time."""
    samples = past.samples(data)
    if samples is paths.MISSING or samples is None:
        return ()
    if not isinstance(samples, list) or len(samples) > MAX_SAMPLES:
        faults.append("what should be a list of samples is none, or too long")
        return ()
    taken: dict[int, Taken] = {}
    for sample in samples:
        at_ms = _time_ms(past.time(sample), past.clock)
        if at_ms is None or not received_ms - OLDEST_MS <= at_ms <= received_ms + AHEAD_MS:
            faults.append("a sample of a former time without a time that can be")
            continue
        found = taken_of(past.fields, sample, at_ms, faults)
        if found.readings:
            taken[at_ms] = found
    return tuple(taken[at_ms] for at_ms in sorted(taken))


def _time_ms(value: object, clock: str) -> int | None:
    if clock == "text" and isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return None
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    if clock == "text" or isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        return None
    return round(value * (1000 if clock == "unix_s" else 1))


def _past(history: History | None, values: Mapping[str, Value], parameters: Mapping[str, float]) -> Past | None:
    if history is None:
        return None
    samples, at = paths.parse(history.path), paths.parse(history.time)
    assert samples is not None  # noqa: S101 - checked with the profile
    assert at is not None  # noqa: S101 - likewise
    return Past(samples, at, history.clock, fields_of(history.values or values, parameters))
