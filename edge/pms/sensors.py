"""What each kind of sensor says in its frames, and what can be said to it.

From the makers' data sheets, as pypms 0.8.1 (MIT) reads them; the tests hold its values against ours. Fields carry
pypms' names: `pm25` in µg/m³ for the surrounding air, `raw25` likewise for industrial air (CF=1), `n0_3` the number of
particles above 0.3 µm (of an SPS30: between 0.3 µm and that size) in a cm³.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from edge.plausibility.encoding import shortest
from edge.pms.frames import Honeywell, Mcu680, NovaFitness, Plantower, Sensirion, Winsen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.pms.frames import Family, Frame


class Field(NamedTuple):
    """One value in a frame."""

    name: str
    scale: float = 1.0


class Layout(NamedTuple):
    """How the values of one kind of frame stand."""

    packed: struct.Struct
    fields: tuple[Field | None, ...]
    """In their order; None for what is nobody's. Two of one name are parts of one value."""
    zeros: int | None = None
    """So many bytes, all 0, say that there is no value yet; None: all of them."""

    def read(self, values: bytes) -> dict[str, float] | None:
        """Read a frame's values; None where the sensor has none yet."""
        if not any(values[: self.zeros]):
            return None
        sums: dict[str, float] = {}
        for each, raw in zip(self.fields, self.packed.unpack(values), strict=True):
            if each is not None:
                sums[each.name] = sums.get(each.name, 0.0) + raw * each.scale
        return {name: shortest(value) for name, value in sums.items()}


@dataclass(frozen=True)
class Commands:
    """What can be said to a sensor; empty where it does not understand that."""

    active: bytes = b""
    """Speak by itself."""
    passive: bytes = b""
    """Wait to be asked."""
    ask: bytes = b""
    wake: bytes = b""
    """Switch fan and laser on."""
    sleep: bytes = b""


@dataclass(frozen=True)
class Sensor:
    """One kind of sensor."""

    name: str
    families: tuple[Family, ...]
    layouts: Mapping[bytes, Layout]
    """By the kind of frame."""
    commands: Commands = Commands()
    baud_rate: int = 9600
    warm_up_s: float = 0.0
    """So long after it was switched on its values are not to be believed."""
    also: tuple[str, ...] = field(default=())
    """Models that say the same."""

    @property
    def speaks(self) -> bool:
        """Whether it can speak by itself."""
        return bool(self.commands.active) or not self.commands.ask

    def read(self, frame: Frame) -> dict[str, float] | None:
        """Read the values of one of its frames; None where it has none yet.

        Raises: KeyError where the frame carries no values; ValueError where these make no sense.
        """
        layout = self.layouts[frame.kind]
        if len(frame.values) != layout.packed.size:
            raise KeyError(frame.kind)
        values = layout.read(frame.values)
        if values is None:
            return None
        if not all(math.isfinite(value) for value in values.values()):
            raise ValueError("a value that is no number")
        if values.get("n0_3") == 0 and values.get("pm10", 0) > 0 and "n10_0" in values:
            raise ValueError("a mass without particles")
        return values


def _layout(packed: str, *fields: str, zeros: int | None = None) -> Layout:
    """`name` or `name*scale`, `-` for nothing."""
    read = tuple(None if each == "-" else _field(each) for each in fields)
    return Layout(struct.Struct(packed), read, zeros)


def _field(text: str) -> Field:
    name, _, scale = text.partition("*")
    return Field(name, float(scale or 1))


def _hex(text: str) -> bytes:
    return bytes.fromhex(text)


_MASSES = ("raw01", "raw25", "raw10", "pm01", "pm25", "pm10")
_COUNTS = ("n0_3*0.01", "n0_5*0.01", "n1_0*0.01", "n2_5*0.01", "n5_0*0.01", "n10_0*0.01")
_BM28, _BM36, _BM20 = _hex("424D001C"), _hex("424D0024"), _hex("424D0014")
_PLANTOWER = Commands(
    active=_hex("424DE100010171"),
    passive=_hex("424DE100000170"),
    ask=_hex("424DE200000171"),
    wake=_hex("424DE400010174"),
    sleep=_hex("424DE400000173"),
)
_NOVA = Commands(
    active=_hex("AAB402010000000000000000000000FFFF01AB"),
    passive=_hex("AAB402010100000000000000000000FFFF02AB"),
    ask=_hex("AAB404000000000000000000000000FFFF02AB"),
    wake=_hex("AAB406010100000000000000000000FFFF06AB"),
    sleep=_hex("AAB406010000000000000000000000FFFF05AB"),
)
_HONEYWELL = Commands(
    active=_hex("68014057"),
    passive=_hex("68012077"),
    ask=_hex("68010493"),
    wake=_hex("68010196"),
    sleep=_hex("68010295"),
)
_SPS30 = _layout(">10f", "pm01", "pm25", "pm04", "pm10", "n0_5", "n1_0", "n2_5", "n4_0", "n10_0", "diam")
_ZH03B = Commands(
    passive=_hex("FF0178410000000046"),
    ask=_hex("FF0186000000000079"),
    wake=_hex("FF01A7000000000058"),
    sleep=_hex("FF01A7010000000057"),
)

_ALL = (
    Sensor(
        "sds011",
        (NovaFitness(),),
        {_hex("AAC0"): _layout("<2H2s", "pm25*0.1", "pm10*0.1", "-", zeros=4)},
        _NOVA,
        warm_up_s=30,
        also=("sds018", "sds021"),
    ),
    Sensor(
        "sds198", (NovaFitness(),), {_hex("AACF"): _layout("<2sH2s", "-", "pm100", "-", zeros=4)}, _NOVA, warm_up_s=30
    ),
    Sensor("pms3003", (Plantower(),), {_BM20: _layout(">6H6s", *_MASSES, "-")}, warm_up_s=30),
    Sensor(
        "pmsx003",
        (Plantower(),),
        {_BM28: _layout(">12H2s", *_MASSES, *_COUNTS, "-")},
        _PLANTOWER,
        warm_up_s=30,
        also=("pms1003", "pms5003", "pms7003", "pmsa003"),
    ),
    Sensor(
        "pms5003s",
        (Plantower(),),
        {_BM28: _layout(">13H", *_MASSES, *_COUNTS, "hcho")},
        _PLANTOWER,
        warm_up_s=30,
    ),
    Sensor(
        "pms5003t",
        (Plantower(),),
        {_BM28: _layout(">10HhH2s", *_MASSES, *_COUNTS[:4], "temp*0.1", "rhum*0.1", "-")},
        _PLANTOWER,
        warm_up_s=30,
    ),
    Sensor(
        "pms5003st",
        (Plantower(),),
        {_BM36: _layout(">13HhH4s", *_MASSES, *_COUNTS, "hcho", "temp*0.1", "rhum*0.1", "-")},
        _PLANTOWER,
        warm_up_s=30,
    ),
    Sensor(
        "sps30",
        (Sensirion(),),
        {_hex("00030028"): _SPS30},
        Commands(ask=_hex("7E000300FC7E"), wake=_hex("7E0000020103F97E"), sleep=_hex("7E000100FE7E")),
        baud_rate=115200,
        warm_up_s=30,
    ),
    Sensor(
        "hpma115s0",
        (Honeywell(), Plantower()),
        {_hex("400504"): _layout(">2H", "pm25", "pm10"), _BM28: _layout(">2s2H20s", "-", "pm25", "pm10", "-")},
        _HONEYWELL,
        warm_up_s=6,
    ),
    Sensor(
        "hpma115c0",
        (Honeywell(), Plantower()),
        {
            _hex("400D04"): _layout(">4H4s", "pm01", "pm25", "pm04", "pm10", "-"),
            _BM28: _layout(">4H18s", "pm01", "pm25", "pm04", "pm10", "-"),
        },
        _HONEYWELL,
        warm_up_s=6,
    ),
    Sensor(
        "mhz19b",
        (Winsen(),),
        {_hex("FF86"): _layout(">H4s", "co2", "-")},
        Commands(ask=_hex("FF0186000000000079")),
        warm_up_s=180,
    ),
    Sensor(
        "zh03b",
        (Winsen(),),
        {_hex("FF86"): _layout(">3H", "pm25", "pm10", "pm01")},
        _ZH03B,
        warm_up_s=30,
        also=("zh06i",),
    ),
    Sensor(
        "mcu680",
        (Mcu680(),),
        {
            _hex("5A5A3F0F"): _layout(
                ">hHBHHLh", "temp*0.01", "rhum*0.01", "pres*655.36", "pres*0.01", "-", "gas*0.001", "alt"
            )
        },
        Commands(active=_hex("A55602FD"), ask=_hex("A55601FC")),
    ),
)
SENSORS = {sensor.name: sensor for sensor in _ALL}
"""By the name that a profile's protocol half uses."""
