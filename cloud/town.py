"""The town's directory: checked as a whole, and turned into the registry."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec
import yaml

from base import strict_yaml
from base.errors import ConfigError, Position, TransientError
from cloud.registry import BEGINNING, RegistryEntry, RegistryFile, check_day
from wire import profile as profiles
from wire.ids import is_id
from wire.topics import DEFAULT_PREFIX, Prefix
from wire.town import GatewayEntry, Site

if TYPE_CHECKING:
    from pathlib import Path

    from wire.town import DeviceEntry


class TownFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`town.yaml`."""

    name: str
    prefix: Prefix = DEFAULT_PREFIX
    timezone: str = "Europe/Berlin"
    language: Literal["de", "en"] = "de"


@dataclass(frozen=True)
class Town:
    """A checked town."""

    file: TownFile
    site_table: dict[str, Site]
    gateways: list[Path]
    entries: list[RegistryEntry]

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return len({entry.device for entry in self.entries})

    @property
    def sites(self) -> int:
        """How many sites there are."""
        return len(self.site_table)


def check(directory: Path) -> Town:
    """Read and check a town's directory, as far as it concerns more than one gateway.

    Raises: ConfigError at the line that is wrong.
    """
    town = strict_yaml.load(directory / "town.yaml").convert(TownFile)
    sites = _sites(directory / "sites.yaml")
    files = sorted((directory / "gateways").glob("*.yaml"))
    if not files:
        raise ConfigError(Position(directory / "gateways"), "no gateway", "at least one file <id>.yaml")
    entries: list[RegistryEntry] = []
    ids: dict[str, Position] = {}
    for file in files:
        entries += _gateway(file, sites, ids)
    return Town(town, sites, files, entries)


def _sites(file: Path) -> dict[str, Site]:
    document = strict_yaml.load(file)
    if not isinstance(document.value, dict):
        raise document.error((), "no mapping", "a mapping: site id -> name, sector, coordinates")
    for site in document.value:
        if not is_id(site):
            raise ConfigError(document.key_at(site), repr(site), "lower-case letters, digits and hyphens")
    return {site: document.convert(Site, (site,)) for site in document.value}


def _gateway(file: Path, sites: dict[str, Site], ids: dict[str, Position]) -> list[RegistryEntry]:
    document = strict_yaml.load(file)
    gateway = document.convert(GatewayEntry)
    if gateway.gateway != file.stem:
        raise document.error(("gateway",), repr(gateway.gateway), f"{file.stem!r}, as the file is named")
    _claim(gateway.gateway, document.at("gateway"), ids)
    entries = []
    for bus_index, bus in enumerate(gateway.buses):
        for index, device in enumerate(bus.devices):
            at = ("buses", bus_index, "devices", index)
            _claim(device.id, document.at(*at, "id"), ids)
            if device.site not in sites:
                raise document.error((*at, "site"), f"the site {device.site!r}", "a site of sites.yaml")
            entries.append(_entry(device, gateway.gateway, document, at))
    return entries


def _claim(name: str, at: Position, ids: dict[str, Position]) -> None:
    """Gateways and devices share one name space."""
    if name in ids:
        raise ConfigError(at, f"the id {name!r}, which {ids[name]} has", "an id that is unique in the town")
    ids[name] = at


def _entry(device: DeviceEntry, gateway: str, document: strict_yaml.Document, at: strict_yaml.Path_) -> RegistryEntry:
    try:
        profile = profiles.load(device.profile)
    except ConfigError as error:
        if error.at.file.is_file():
            raise
        raise document.error((*at, "profile"), error.found, error.expected) from error
    check_day(document, (*at, "since"), device.since or BEGINNING)
    return RegistryEntry(
        device=device.id,
        gateway=gateway,
        profile=device.profile,
        site=device.site,
        interval_s=device.interval_s or profile.interval_s,
        privacy=device.privacy,
        since=device.since or BEGINNING,
    )


def write_registry(directory: Path, output: Path) -> RegistryFile:
    """Check a town and write its registry; the file is replaced as a whole or not at all.

    Raises: ConfigError at the line that is wrong; TransientError where the file cannot be written.
    """
    town = check(directory)
    registry = RegistryFile(format=1, town=town.file.name, sites=town.site_table, entries=town.entries)
    text = yaml.safe_dump(msgspec.to_builtins(registry), allow_unicode=True, sort_keys=False, width=120)
    draft = output.with_name(output.name + ".new")
    try:
        with draft.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(output)
    except OSError as error:
        raise TransientError(f"{output}: cannot be written ({error.strerror})") from error
    return registry
