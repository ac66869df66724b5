"""Instruments that say lines of text over a bad line: with a checksum (NMEA 0183), and without one.

A line without a checksum in which one digit has become another, or is gone, is a good line: nobody can know better,
and no judgement could be passed. Noise on such lines is bursts, which leave none of it as it was (`Noise.of_bursts`).
"""

from __future__ import annotations

import functools
import math
import operator
import time
from typing import TYPE_CHECKING

from simulator.spoken import Speaker, Values

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.ports import Noise


def _wind() -> Values:
    """What a wind sensor measures now: a direction that never crosses north."""
    now_s = time.time()
    speed = round(6 + 3 * math.sin(now_s / 40), 1)
    return {"wind_speed": speed, "wind_gust": speed, "wind_dir": round(200 + 60 * math.sin(now_s / 90), 1)}


def sentence(body: str) -> bytes:
    """A sentence of NMEA 0183: the exclusive or of all characters behind it."""
    return f"${body}*{functools.reduce(operator.xor, body.encode('ascii')):02X}\r\n".encode("ascii")


def _mwv(values: Values) -> bytes:
    return sentence(f"WIMWV,{values['wind_dir']:05.1f},R,{values['wind_speed']:.1f},M,A")


def nmea(link: Path, noise: Noise) -> Speaker:
    """A wind sensor with NMEA 0183."""
    return Speaker(link, noise.of_one_piece(), _mwv, {"driver": "nmea", "profile": "nmea/wind"}, _wind)


def _weather() -> Values:
    now_s = time.time()
    return {
        **_wind(),
        "temp_air": round(14 + 4 * math.sin(now_s / 70), 1),
        "humidity": round(60 + 15 * math.sin(now_s / 80), 1),
        "pressure_air": round(1013 + 6 * math.sin(now_s / 100), 1),
        "rain_total": round(now_s % 1e6 / 1000, 2),
    }


def _wxt(values: Values) -> bytes:
    """Wind, air and rain of a Vaisala WXT520 that sends by itself (User's Guide M210906EN-C, pages 65 to 79)."""
    values["wind_dir"] = round(values["wind_dir"])
    around = (f"D{which}={values['wind_dir'] + by:03.0f}D" for which, by in (("n", -9), ("m", 0), ("x", 9)))
    speed = f"{values['wind_speed']:.1f}M"
    lines = (
        f"0R1,{','.join(around)},Sn=0.1M,Sm={speed},Sx={speed}",
        f"0R2,Ta={values['temp_air']:.1f}C,Tp=15.0C,Ua={values['humidity']:.1f}P,Pa={values['pressure_air']:.1f}H",
        f"0R3,Rc={values['rain_total']:.2f}M,Rd=0s,Ri=0.0M,Hc=0.0M,Hd=0s,Hi=0.0M",
    )
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def weather_lines(link: Path, noise: Noise) -> Speaker:
    """A weather station that writes plain lines."""
    return Speaker(link, noise.of_bursts(), _wxt, {"driver": "line", "profile": "vaisala/wxt520"}, _weather)
