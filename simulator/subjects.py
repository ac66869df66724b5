"""Meters that an agent reads for an hour over a bad line: what they say, and what they said when.

Each kind of subject is a row of `SUBJECTS`, which `simulator.hour` plays.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

from simulator import d0, sml
from simulator.devices import Journal, Poll
from simulator.heat import HEAT_METER
from simulator.mbus import HeatMeter, MbusLine, Plate
from simulator.radar_subject import RadarSubject
from simulator.rtu import RtuSubject
from simulator.spoken import ASKED_S, DEVICE, RECOVERY_S, OnPort, Speaker, Spoken, device_entry, measured, section
from simulator.text_subjects import nmea, weather_lines
from simulator.wireless import radio_meter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulator.ports import Noise
    from simulator.spoken import Subject, Values

MBUS_BAUD_RATE = 2400


class Asked(OnPort):
    """A meter that is asked."""

    interval_s = ASKED_S

    def __init__(self, link: Path, noise: Noise) -> None:
        line = d0.AskedLine(link, [d0.AskedMeter(self._lines)], noise=noise)
        super().__init__(line.port, noise, {"driver": "d0", "profile": "d0/read"})

    def _lines(self) -> list[str]:
        values = measured()
        values["active_power"] = round(values["active_power"])
        del values["active_power/L1"]
        self.spoken.note(values)
        return d0.rows(
            {
                "1.7.0": (values["active_power"] / 1000, "kW", 3, 3),
                "32.7.0": (values["voltage/L1"], "V", 3, 1),
                "1.8.0": (values["active_energy_import"], "kWh", 6, 4),
                "1.8.0*01": (values["active_energy_import"] - 100, "kWh", 6, 4),
                "2.8.0": (values["active_energy_export"], "kWh", 6, 4),
            }
        )


class _Heard(Journal):
    """Notes what a heat meter says as it says it."""

    def __init__(self, spoken: Spoken) -> None:
        super().__init__()
        self._spoken = spoken

    def note(self, poll: Poll, readings: int) -> int:
        """Note one telegram."""
        at_ms = poll.polled_at_ms
        self._spoken.note({name: HEAT_METER.truth(poll.device, name, at_ms) for name in HEAT_METER.names})
        return super().note(poll, readings)


class Mbus:
    """A heat meter on a wired M-Bus."""

    interval_s = ASKED_S
    recovery_s = RECOVERY_S

    def __init__(self, link: Path, noise: Noise) -> None:
        self.spoken = Spoken()
        meter = HeatMeter(DEVICE, 1, Plate("66660001"), _Heard(self.spoken))
        self._line = MbusLine([meter], link, noise=noise.share, baud_rate=MBUS_BAUD_RATE)

    @property
    def spoiled(self) -> int:
        """How many answers the line spoiled."""
        return self._line.spoiled

    def bus(self) -> dict[str, Any]:
        """Write the section of its bus."""
        bus = {"driver": "mbus", "profile": HEAT_METER.profile, "baud_rate": MBUS_BAUD_RATE}
        device = {**device_entry(bus, self.interval_s), "address": 1}
        return {**section(bus, self._line.address), "devices": [device]}

    async def plug(self) -> None:
        """Put its port in."""
        await self._line.plug()

    async def unplug(self) -> None:
        """Pull its port out."""
        await self._line.unplug()

    async def play(self) -> None:
        """Nothing: it answers."""
        await asyncio.Event().wait()


class DustSensor(Speaker):
    """A particle sensor: after the port's return it warms up before it counts."""

    recovery_s = RECOVERY_S + 30.0


def dust() -> Values:
    """What a particle sensor measures now."""
    now_s = time.time()
    return {"pm25": round(12 + 3 * math.sin(now_s / 60), 1), "pm10": round(25 + 5 * math.sin(now_s / 50), 1)}


def _sds011(values: Values) -> bytes:
    numbers = (round(values[name] * 10).to_bytes(2, "little") for name in ("pm25", "pm10"))
    data = b"".join(numbers) + b"\xa1\x60"
    return b"\xaa\xc0" + data + bytes([sum(data) & 0xFF]) + b"\xab"


def _sml(values: Values) -> bytes:
    rows = (
        sml.Value("1-0:1.8.0", round(values["active_energy_import"] * 10_000), sml.WATT_HOUR, -1, status=0x1C0104),
        sml.Value("1-0:2.8.0", round(values["active_energy_export"] * 10_000), sml.WATT_HOUR, -1),
        sml.Value("1-0:16.7.0", round(values["active_power"] * 100), sml.WATT, -2, 4),
        sml.Value("1-0:36.7.0", round(values["active_power/L1"] * 100), sml.WATT, -2, 4),
        sml.Value("1-0:32.7.0", round(values["voltage/L1"] * 10), sml.VOLT, -1, 2, is_signed=False),
    )
    return sml.meter_telegram("ISK", 4_711_000, rows, transaction=int(time.monotonic() * 10))


def _pushed(values: Values) -> bytes:
    return d0.push(
        "XYZ5METER",
        d0.rows(
            {
                "1-0:1.8.0*255": (values["active_energy_import"], "kWh", 8, 4),
                "1-0:2.8.0*255": (values["active_energy_export"], "kWh", 8, 4),
                "1-0:16.7.0*255": (values["active_power"], "W", 6, 2),
                "1-0:36.7.0*255": (values["active_power/L1"], "W", 6, 2),
                "1-0:32.7.0*255": (values["voltage/L1"], "V", 4, 1),
            }
        ),
    )


def _p1(values: Values) -> bytes:
    values["active_power"] = round(values["active_power"])
    values["active_power/L1"] = round(values["active_power/L1"])
    values["active_energy_import"] = round(values["active_energy_import"], 3)
    rows = {
        "1-0:1.8.1": (values["active_energy_import"], "kWh", 6, 3),
        "1-0:1.8.2": (0.0, "kWh", 6, 3),
        "1-0:2.8.1": (values["active_energy_export"], "kWh", 6, 3),
        "1-0:2.8.2": (0.0, "kWh", 6, 3),
        "1-0:1.7.0": (values["active_power"] / 1000, "kW", 2, 3),
        "1-0:2.7.0": (0.0, "kW", 2, 3),
        "1-0:32.7.0": (values["voltage/L1"], "V", 4, 1),
        "1-0:21.7.0": (values["active_power/L1"] / 1000, "kW", 2, 3),
    }
    return d0.p1("XYZ5METER", d0.rows(rows))


SUBJECTS: dict[str, Callable[[Path, Noise], Subject]] = {
    "sml": lambda link, noise: Speaker(link, noise, _sml, {"driver": "sml", "profile": "sml/meter"}),
    "d0": lambda link, noise: Speaker(link, noise, _pushed, {"driver": "d0", "profile": "d0/push"}),
    "d0-read": Asked,
    "mbus": Mbus,
    "pms": lambda link, noise: DustSensor(
        link, noise, _sds011, {"driver": "pms", "profile": "nova-fitness/sds011"}, dust
    ),
    "p1": lambda link, noise: Speaker(link, noise, _p1, {"driver": "p1", "profile": "dsmr/p1"}),
    "modbus": RtuSubject,
    "wmbus": radio_meter,
    "nmea": nmea,
    "line": weather_lines,
    "radar": RadarSubject,
}
"""Protocol -> a meter that speaks it, on a port under that link, with that noise."""
NOISE = 0.2
"""Of all telegrams, those that the line spoils, unless said otherwise; likewise what is heard between two."""
LESS_NOISE = {"radar": 0.03}
"""A radar's interval is left out where a tenth of its lines cannot be read: more noise leaves nothing to judge."""
