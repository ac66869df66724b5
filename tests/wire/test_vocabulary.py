"""The vocabulary: rows that agree with each other, in units that others know."""

from __future__ import annotations

import re

import pytest

from wire.ids import QUANTITY_PATTERN
from wire.vocabulary import DerivedMeasurement, Quantity, measurements, quantities

QUANTITIES = quantities()
MEASUREMENTS = measurements()
READINGS = MEASUREMENTS.readings
DERIVED = MEASUREMENTS.derived
NAME = re.compile(QUANTITY_PATTERN)

# IANA's registry of SenML units, as it stood on 2025-03-27.
# RFC 8428 section 12.1, without those it marks as not recommended: g, l, l/s, Bspl, %, 1/min, beat/min, beats.
PRIMARY_8428 = (
    "m kg s A K cd mol Hz rad sr N Pa J W C V F Ohm S Wb T H Cel lm lx Bq Gy Sv kat m2 m3 m/s m/s2 m3/s W/m2 cd/m2 "
    "bit bit/s lat lon pH dB dBW count / %RH %EL EL 1/s S/m"
)
# RFC 8798 section 2. It does not recommend deg, "the radian being the unit closer to SI"; but wind has no other.
PRIMARY_8798 = "B VA VAs var vars J/m kg/m3 deg"
# RFC 8798 section 3, table 3.
SECONDARY_8798 = (
    "ms min h MHz kW kVA kvar Ah Wh kWh varh kvarh kVAh Wh/km KiB GB Mbit/s B/s MB/s mV mA dBm ug/m3 mm/h m/h "
    "ppm /100 /1000 hPa mm cm km km/h"
)
# Registered since, by OMA's CoRE-1.
SECONDARY_LATER = "ppb ppt VAh mg/l ug/l g/l"
SENML_UNITS = {*PRIMARY_8428.split(), *PRIMARY_8798.split(), *SECONDARY_8798.split(), *SECONDARY_LATER.split()}

# What each kind may be summed up by. A counter's last value is its state; the sum of a delta is what it counted.
AGGREGATES = {
    "gauge": {"mean", "last", "max", "vector", "energetic", "volume_weighted"},
    "counter": {"last"},
    "delta": {"sum"},
    "state": {"last"},
}


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_quantity_agrees_with_itself(name: str) -> None:
    """A range that is one, a kind that fits the way it is summed up, limits that mean something."""
    row: Quantity = QUANTITIES[name]
    low, high = row.range
    assert low < high
    assert row.aggregate in AGGREGATES[row.kind]
    assert row.step is None or row.step <= high - low
    if row.kind != "gauge":
        assert low == 0
    assert row.kind != "counter" or row.step is not None  # what can flow: no counter is judged without it
    assert row.kind not in ("delta", "state") or row.step is None
    if row.kind in ("counter", "state"):
        assert row.stuck_h is None  # nothing used, nothing changed: no fault


@pytest.mark.parametrize("name", [name for name, row in QUANTITIES.items() if row.rest or row.clip])
def test_what_a_quantity_rests_at_and_is_set_to_lies_where_it_can(name: str) -> None:
    """A value at rest is within the range of one that can be stuck; what is clipped reaches beyond the range."""
    row = QUANTITIES[name]
    low, high = row.range
    assert all(low <= value <= high for value in row.rest)
    assert not row.rest or row.stuck_h is not None
    assert row.clip is None or (row.clip[0] <= low and high <= row.clip[1] and row.clip != row.range)


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_unit_is_one_that_others_know(name: str) -> None:
    """Registered for SenML, and a UCUM code without blanks."""
    row = QUANTITIES[name]
    assert row.unit in SENML_UNITS
    assert re.fullmatch(r"[!-~]+", row.ucum)
    assert row.ucum.count("[") == row.ucum.count("]")
    assert row.ucum.count("{") == row.ucum.count("}")


@pytest.mark.parametrize("name", [name for name, row in QUANTITIES.items() if row.kind == "state"])
def test_a_state_is_zero_or_one(name: str) -> None:
    """As the wire says: no words, no numbers between."""
    assert QUANTITIES[name].range == (0, 1)
    assert QUANTITIES[name].unit == "/"


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_quantity_has_a_name_in_both_languages(name: str) -> None:
    """Not the same text by oversight, and none that is empty."""
    label = QUANTITIES[name].label
    assert label.de.strip()
    assert label.en.strip()
    assert label.de != label.en


def test_no_two_quantities_look_alike_to_a_person() -> None:
    """A board's menu shows labels."""
    for language in ("de", "en"):
        labels = [getattr(row.label, language) for row in QUANTITIES.values()]
        assert len(labels) == len(set(labels))


def test_one_unit_has_one_ucum_code() -> None:
    """Catalogues must not show one unit in two ways.

    But a pure number is shown as 1, and of the decibels UCUM tells sound from a ratio, which SenML does not.
    """
    pairs = {(row.unit, row.ucum) for row in QUANTITIES.values() if row.unit not in ("/", "dB")}
    assert len(pairs) == len({unit for unit, _ in pairs})
    assert {row.ucum for row in QUANTITIES.values() if row.unit == "dB"} == {"dB", "dB[SPL]{A}"}


@pytest.mark.parametrize(
    ("name", "kind", "unit", "limits", "step", "stuck_h"),
    [
        ("active_power", "gauge", "W", (-5e6, 5e6), None, 24),
        ("active_energy_import", "counter", "kWh", (0, 1e9), 84, None),  # 5 MW
        ("reactive_power", "gauge", "var", (-5e6, 5e6), None, 24),
        ("voltage", "gauge", "V", (0, 500), 50, 6),
        ("current", "gauge", "A", (0, 6000), None, 24),
        ("frequency", "gauge", "Hz", (45, 55), 1, 1),
        ("power_factor", "gauge", "/", (-1, 1), None, 24),
        ("gas_volume", "counter", "m3", (0, 1e8), 150, None),
        ("water_volume", "counter", "m3", (0, 1e8), 170, None),
        ("heat_energy", "counter", "kWh", (0, 1e9), 1700, None),  # 100 MW
        ("temp_air", "gauge", "Cel", (-50, 60), 3, 6),
        ("temp_water_flow", "gauge", "Cel", (-10, 180), 20, 12),
        ("temp_water_return", "gauge", "Cel", (-10, 180), 20, 12),
        ("humidity", "gauge", "%RH", (0, 100), 20, 12),
        ("co2_indoor", "gauge", "ppm", (300, 10000), 500, 12),
        ("pm25", "gauge", "ug/m3", (0, 1000), 300, 12),
        ("pm10", "gauge", "ug/m3", (0, 1000), 300, 12),
        ("no2", "gauge", "ug/m3", (0, 1000), 300, 12),
        ("o3", "gauge", "ug/m3", (0, 1000), 300, 12),
        ("so2", "gauge", "ug/m3", (0, 1000), 300, 12),
        ("pressure_air", "gauge", "hPa", (850, 1080), 2, 6),
        ("wind_speed", "gauge", "m/s", (0, 75), 40, 12),
        ("wind_gust", "gauge", "m/s", (0, 75), 40, 12),
        ("wind_dir", "gauge", "deg", (0, 360), None, 12),
        ("global_radiation", "gauge", "W/m2", (-10, 1500), 1200, None),
        ("rain", "delta", "mm", (0, 40), None, None),
        ("water_level", "gauge", "cm", (-200, 2000), 10, 48),
        ("soil_tension", "gauge", "hPa", (0, 3000), 200, 72),  # 300 kPa, 20 kPa a minute
        ("soil_vwc", "gauge", "/100", (0, 70), 20, 72),
        ("sound_laeq", "gauge", "dB", (20, 130), None, 3),
        ("speed_mean", "gauge", "km/h", (0, 200), None, None),
        ("occupancy_parking", "state", "/", (0, 1), None, None),
        ("battery_percent", "gauge", "%EL", (0, 100), None, None),
        ("battery_voltage", "gauge", "V", (0, 24), None, None),
        ("rssi", "gauge", "dBm", (-140, 0), None, None),
        ("snr", "gauge", "dB", (-25, 20), None, None),
    ],
)
def test_the_catalogue_of_the_domain_stands(
    name: str, kind: str, unit: str, limits: tuple[float, float], step: float | None, stuck_h: float | None
) -> None:
    """Its kinds, ranges, steps and hours: what boards and alerts are built on."""
    row = QUANTITIES[name]
    assert (row.kind, row.unit, row.range, row.step, row.stuck_h) == (kind, unit, limits, step, stuck_h)


@pytest.mark.parametrize(
    ("name", "aggregate"),
    [("wind_dir", "vector"), ("sound_laeq", "energetic"), ("temp_water_return", "volume_weighted"), ("rain", "sum")],
)
def test_what_must_not_be_averaged_plainly_is_not(name: str, aggregate: str) -> None:
    """350° and 10° make 0°; two sound levels make their energy's; return water counts by its volume."""
    assert QUANTITIES[name].aggregate == aggregate


@pytest.mark.parametrize("name", READINGS.measurements)
def test_a_measurement_holds_known_quantities(name: str) -> None:
    """Each once, also beside the common ones; `q` beside them is the flags'."""
    fields = MEASUREMENTS.fields(name)
    assert READINGS.measurements[name]
    assert NAME.match(name)
    assert not name.endswith("_suspect")
    assert len(fields) == len(set(fields))
    assert set(fields) <= set(QUANTITIES)
    assert not {"q", "time"} & set(fields)


@pytest.mark.parametrize("name", READINGS.measurements)
def test_every_measurement_can_tell_of_the_device_itself(name: str) -> None:
    """A meter on a radio has a battery; any device may fall silent."""
    assert {"reachable", "battery_percent", "rssi", "snr"} <= set(MEASUREMENTS.fields(name))


def test_the_measurements_of_the_contract_are_there() -> None:
    """Those that design.md names."""
    named = "electricity heat gas water indoor air weather soil level noise traffic parking compressed_air gateway"
    assert set(named.split()) <= set(READINGS.measurements)
    derived = "device_seen touched device_status gap alert emission indicator dead_letter unregistered"
    assert set(derived.split()) == set(DERIVED)


def test_every_quantity_is_kept_somewhere() -> None:
    """One that no measurement holds could never be stored."""
    kept = {field for name in READINGS.measurements for field in MEASUREMENTS.fields(name)}
    assert kept | (set(DERIVED["gap"].fields) - {"q"}) == set(QUANTITIES)


def test_readings_are_tagged_as_the_contract_says() -> None:
    """Where from, then the channel and its parts."""
    assert READINGS.tags == [
        *("site", "sector", "gateway", "device"),
        *("channel", "lane", "direction", "class", "phase", "depth"),
    ]


@pytest.mark.parametrize("name", DERIVED)
def test_a_derived_measurement_takes_no_name_of_another(name: str) -> None:
    """Nor one that stands for suspect readings or rollups; no field has the name of a tag."""
    row: DerivedMeasurement = DERIVED[name]
    assert name not in READINGS.measurements
    assert not re.search(r"_(suspect|15m|1h|1d)$", name)
    assert not set(row.tags) & set(row.fields)
