"""The vocabulary: rows that agree with each other."""

from __future__ import annotations

import re

import pytest

from wire.ids import QUANTITY_PATTERN
from wire.vocabulary import DerivedMeasurement, Quantity, measurements, quantities

QUANTITIES = quantities()
READINGS = measurements().readings
DERIVED = measurements().derived
NAME = re.compile(QUANTITY_PATTERN)
# Of RFC 8428's registry and RFC 8798's secondary units, those that the vocabulary uses.
SENML_UNITS = {"W", "var", "VA", "kWh", "V", "A", "Hz", "/", "Cel", "%RH", "ppm", "hPa", "m/s", "deg", "W/m2", "mm"}


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_quantity_agrees_with_itself(name: str) -> None:
    """A range that is one, a kind that fits the way it is summed up, limits that mean something."""
    row: Quantity = QUANTITIES[name]
    low, high = row.range
    assert low < high
    assert row.unit in SENML_UNITS
    assert row.ucum
    assert (row.kind == "counter") == (row.aggregate == "last" and row.stuck_h is None)
    assert (row.kind == "delta") == (row.aggregate == "sum")
    assert row.step is None or row.step <= high - low
    if row.kind in ("counter", "delta"):
        assert low >= 0
        assert row.step is None


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
    """Catalogues must not show one unit in two ways."""
    pairs = {(row.unit, row.ucum) for row in QUANTITIES.values() if row.unit != "/"}
    assert len(pairs) == len({unit for unit, _ in pairs})


@pytest.mark.parametrize("name", READINGS.measurements)
def test_a_measurement_holds_known_quantities(name: str) -> None:
    """Each once; `q` beside them is the flags'."""
    fields = READINGS.measurements[name]
    assert fields
    assert NAME.match(name)
    assert not name.endswith("_suspect")
    assert len(fields) == len(set(fields))
    assert set(fields) <= set(QUANTITIES)
    assert not {"q", "time"} & set(fields)


def test_every_quantity_is_kept_somewhere() -> None:
    """One that no measurement holds could never be stored."""
    kept = {field for fields in READINGS.measurements.values() for field in fields}
    assert kept == set(QUANTITIES)


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
