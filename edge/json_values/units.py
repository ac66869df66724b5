"""Units in which values are given, and what makes of them the unit of a quantity. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Conversion(NamedTuple):
    """value = given * factor + offset."""

    factor: float
    offset: float = 0.0


SAME = Conversion(1.0)
_KNOWN: dict[str, dict[str, Conversion]] = {
    "kWh": {"Wh": Conversion(0.001), "MWh": Conversion(1000), "MJ": Conversion(1 / 3.6), "GJ": Conversion(1000 / 3.6)},
    "kvarh": {"varh": Conversion(0.001)},
    "W": {"kW": Conversion(1000), "mW": Conversion(0.001)},
    "V": {"mV": Conversion(0.001)},
    "A": {"mA": Conversion(0.001)},
    "hPa": {
        "Pa": Conversion(0.01),
        "kPa": Conversion(10),
        "bar": Conversion(1000),
        "mbar": SAME,
        "cbar": Conversion(10),
    },
    "S/m": {"uS/cm": Conversion(1e-4), "mS/cm": Conversion(0.1), "dS/m": Conversion(0.1), "S/m": SAME},
    "mm": {"cm": Conversion(10), "m": Conversion(1000), "in": Conversion(25.4)},
    "cm": {"mm": Conversion(0.1), "m": Conversion(100)},
    "m": {"mm": Conversion(0.001), "cm": Conversion(0.01)},
    "km": {"m": Conversion(0.001)},
    "Cel": {"degF": Conversion(5 / 9, -160 / 9), "K": Conversion(1, -273.15)},
    "/100": {"%": SAME, "m3/m3": Conversion(100), "/": Conversion(100)},
    "%RH": {"%": SAME},
    "%EL": {"%": SAME},
    "m3": {"l": Conversion(0.001), "hl": Conversion(0.1)},
    "m3/s": {"m3/h": Conversion(1 / 3600), "l/h": Conversion(1 / 3.6e6), "l/min": Conversion(1 / 6e4)},
    "ug/m3": {"mg/m3": Conversion(1000)},
    "ppb": {"ppm": Conversion(1000)},
    "m/s": {"km/h": Conversion(1 / 3.6), "kn": Conversion(1852 / 3600)},
    "km/h": {"m/s": Conversion(3.6)},
    "h": {"s": Conversion(1 / 3600), "min": Conversion(1 / 60)},
    "s": {"ms": Conversion(0.001), "min": Conversion(60)},
    "ms": {"s": Conversion(1000)},
}


def conversion(given: str | None, wanted: str) -> Conversion | None:
    """Return what makes a value of one unit one of another; None where the two do not fit, or nobody knows how."""
    return SAME if given is None or given == wanted else _KNOWN.get(wanted, {}).get(given)


def known(wanted: str) -> list[str]:
    """Return the units that a quantity's unit can be made of."""
    return list(dict.fromkeys((wanted, *_KNOWN.get(wanted, {}))))
