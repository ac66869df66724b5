"""Which registry may take the place of the one in force, while a collector runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from base.errors import ConfigError, Position
from cloud.amended import check_successor, check_unaltered
from cloud.registry_file import RegistryEntry, RegistryFile
from wire.town import Site

MONDAY, TUESDAY, WEDNESDAY, FRIDAY = "2026-11-02", "2026-11-03", "2026-11-04", "2026-11-06"
AT = Position(Path("registry.yaml"))


def _entry(device: str, since: str = "1970-01-01", **changes: str) -> RegistryEntry:
    fields = {"gateway": "gw", "profile": "eastron/sdm630", "site": "school", "sector": "buildings"} | changes
    return msgspec.convert({"device": device, "since": since, "interval_s": 10, **fields}, RegistryEntry)


def _file(*entries: RegistryEntry) -> RegistryFile:
    return RegistryFile(format=1, town="t", sites={"school": Site(name="S", sector="buildings")}, entries=[*entries])


IN_FORCE = _file(_entry("a"), _entry("a", MONDAY, gateway="other"), _entry("b"), _entry("c", FRIDAY))

SOUND = {
    "the same": IN_FORCE.entries,
    "a device more": [*IN_FORCE.entries, _entry("d", TUESDAY)],
    "one that ends with today": [*IN_FORCE.entries[:2], _entry("b", until=WEDNESDAY), IN_FORCE.entries[3]],
    "one that moves tomorrow": [*IN_FORCE.entries, _entry("b", WEDNESDAY, gateway="other")],
    "one that was yet to begin and is gone": IN_FORCE.entries[:3],
}
ALTERED = {
    "another place": [*IN_FORCE.entries[:2], _entry("b", site="plant"), IN_FORCE.entries[3]],
    "another day": [*IN_FORCE.entries[:2], _entry("b", MONDAY), IN_FORCE.entries[3]],
    "a former entry gone": IN_FORCE.entries[1:],
    "one put between": [_entry("a"), _entry("a", "2026-10-01", gateway="third"), *IN_FORCE.entries[1:]],
    "a device gone": IN_FORCE.entries[:2],
    "one that has moved today": [*IN_FORCE.entries, _entry("b", TUESDAY, gateway="other")],
    "one that ended before today": [*IN_FORCE.entries[:2], _entry("b", until=TUESDAY), IN_FORCE.entries[3]],
}


@pytest.mark.parametrize("entries", SOUND.values(), ids=SOUND)
def test_a_registry_that_carries_on_may_follow(entries: list[RegistryEntry]) -> None:
    """What it said of today and the days that have passed, it says; a new device may begin on any day."""
    check_unaltered(IN_FORCE, _file(*entries), TUESDAY, AT)


@pytest.mark.parametrize("entries", ALTERED.values(), ids=ALTERED)
def test_a_registry_that_alters_history_may_not(entries: list[RegistryEntry]) -> None:
    """The same reading would find another place than before."""
    with pytest.raises(ConfigError, match=r"another history than the one in force: [ab]"):
        check_unaltered(IN_FORCE, _file(*entries), TUESDAY, AT)


@pytest.mark.parametrize("lost", [1, 2])
def test_a_registry_that_has_lost_many_devices_may_not_follow(lost: int) -> None:
    """One of twenty may be; two are a file that was cut."""
    before = _file(*(_entry(f"d-{number}") for number in range(20)))
    after = _file(*(_entry(f"d-{n}", until=WEDNESDAY) if n < lost else _entry(f"d-{n}") for n in range(20)))
    at = Position(Path("registry.yaml"))
    if lost == 1:
        check_successor(before, after, TUESDAY, at)
    else:
        with pytest.raises(ConfigError, match="2 of 20 devices gone"):
            check_successor(before, after, TUESDAY, at)
