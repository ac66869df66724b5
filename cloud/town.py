"""The town's directory: checked as a whole, and turned into the registry."""

from __future__ import annotations

import difflib
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from base import strict_yaml
from base.errors import ConfigError, Position
from cloud import history, hosts, registry_file
from cloud.amended import Amendment, amendments
from cloud.history import Placed, When
from cloud.registry_file import RegistryEntry, RegistryFile
from wire import mapping
from wire import profile as profiles
from wire.ids import is_day, is_id, not_a_day
from wire.topics import DEFAULT_PREFIX, Prefix
from wire.town import GATEWAY_PROFILE, GatewayEntry, Site, expected_interval_s

if TYPE_CHECKING:
    from pathlib import Path

    from wire.ids import Day
    from wire.profile import Profile
    from wire.town import DeviceEntry


HOSTS = "hosts.yml"


class TownFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`town.yaml`."""

    name: str
    """The town's name, as people write it."""
    prefix: Prefix = DEFAULT_PREFIX
    """Beginning of all MQTT topics; a broker that serves several towns wants one for each."""
    timezone: str = "Europe/Berlin"
    """IANA time zone in which the town's days begin; what is stored is in UTC. For the boards to come."""
    language: Literal["de", "en"] = "de"
    """Language of what the town's people read; for the boards to come."""


@dataclass(frozen=True)
class Built:
    """A registry that was written, and what it says differently of days that have come."""

    file: RegistryFile
    amended: list[Amendment]


@dataclass(frozen=True)
class Town:
    """A checked town."""

    file: TownFile
    site_table: dict[str, Site]
    gateways: list[Path]
    placed: list[Placed]

    @property
    def devices(self) -> int:
        """How many devices there are, the gateways themselves not counted."""
        return len(self.placed) - len(self.gateways)

    @property
    def sites(self) -> int:
        """How many sites there are."""
        return len(self.site_table)


def check(directory: Path) -> Town:
    """Read and check a town's directory, as far as it concerns more than one gateway.

    Raises: ConfigError at the line that is wrong.
    """
    town = _town(directory / "town.yaml")
    sites = _sites(directory / "sites.yaml")
    _check_suffixes(directory)
    files = sorted((directory / "gateways").glob("*.yaml"))
    if not files:
        raise ConfigError(Position(directory / "gateways"), "no gateway", "at least one file <id>.yaml")
    placed: list[Placed] = []
    ids: dict[str, Position] = {}
    for file in files:
        placed += _gateway(file, town, sites, ids)
    if (directory / HOSTS).exists():
        hosts.check(directory / HOSTS, {file.stem for file in files})
    placed.sort(key=lambda each: each.entry.device == each.entry.gateway)  # the gateways themselves come last
    return Town(town, sites, files, placed)


def _check_suffixes(directory: Path) -> None:
    """Find the files that nobody would read, for their names alone."""
    for file in sorted((directory / "gateways").glob("*")):
        if file.suffix != ".yaml" and file.suffix.lower() in {".yml", ".yaml"}:
            raise ConfigError(Position(file), f"the suffix {file.suffix}", f"{file.stem}.yaml; no other is read")
    other = directory / "hosts.yaml"
    if other.exists():
        raise ConfigError(Position(other), "the suffix .yaml", f"{HOSTS}, as Ansible's inventory is named here")


def _town(file: Path) -> TownFile:
    document = strict_yaml.load(file)
    town = document.convert(TownFile)
    known = zoneinfo.available_timezones()
    if known and town.timezone not in known:  # a machine without the table can judge none
        near = difflib.get_close_matches(town.timezone, known, 1) or ["Europe/Berlin"]
        raise document.error(("timezone",), repr(town.timezone), f"a time zone such as {near[0]!r}")
    return town


def _sites(file: Path) -> dict[str, Site]:
    document = strict_yaml.load(file)
    if not isinstance(document.value, dict):
        raise document.error((), "no mapping", "a mapping: site id -> name, sector, coordinates")
    for site in document.value:
        if not is_id(site):
            raise ConfigError(document.key_at(site), repr(site), "lower-case letters, digits and hyphens")
    return {site: document.convert(Site, (site,)) for site in document.value}


def _gateway(file: Path, town: TownFile, sites: dict[str, Site], ids: dict[str, Position]) -> list[Placed]:
    document = strict_yaml.load(file)
    gateway = document.convert(GatewayEntry)
    if gateway.gateway != file.stem:
        raise document.error(("gateway",), repr(gateway.gateway), f"{file.stem!r}, as the file is named")
    if gateway.prefix != town.prefix:
        found = (
            f"the prefix {gateway.prefix!r}" if document.lookup(("prefix",)) else f"no prefix, so {gateway.prefix!r}"
        )
        raise document.error(
            ("prefix",), found, f"`prefix: {town.prefix}`, as town.yaml says; the collector hears no other"
        )
    _claim(gateway.gateway, document.at("gateway"), ids)
    placed = [_own(gateway, sites, document)]
    for bus_index, bus in enumerate(gateway.buses):
        for index, device in enumerate(bus.devices):
            at = ("buses", bus_index, "devices", index)
            _claim(device.id, document.at(*at, "id"), ids)
            if device.site not in sites:
                raise document.error((*at, "site"), f"the site {device.site!r}", "a site of sites.yaml")
            entry = _entry(device, gateway.gateway, sites[device.site], document, at)
            placed.append(Placed(entry, device.since, document.at(*at, "since" if device.since else "id")))
    return placed


def _own(gateway: GatewayEntry, sites: dict[str, Site], document: strict_yaml.Document) -> Placed:
    """Register the gateway itself: its condition is measured like anything else."""
    if gateway.site is None:
        raise document.error(("gateway",), "no site", "`site: <id>` beside it: where the gateway is mounted")
    if gateway.site not in sites:
        raise document.error(("site",), f"the site {gateway.site!r}", "a site of sites.yaml")
    if gateway.since is not None and not is_day(gateway.since):
        raise document.error(("since",), *not_a_day(gateway.since))
    entry = RegistryEntry(
        device=gateway.gateway,
        gateway=gateway.gateway,
        profile=GATEWAY_PROFILE,
        site=gateway.site,
        sector=sites[gateway.site].sector,
        interval_s=gateway.interval_s or profiles.load(GATEWAY_PROFILE).interval_s,
    )
    return Placed(entry, gateway.since, document.at("since" if gateway.since else "gateway"))


def _claim(name: str, at: Position, ids: dict[str, Position]) -> None:
    """Gateways and devices share one name space."""
    if name in ids:
        raise ConfigError(at, f"the id {name!r}, which {ids[name]} has", "an id that is unique in the town")
    ids[name] = at


def _entry(
    device: DeviceEntry, gateway: str, site: Site, document: strict_yaml.Document, at: strict_yaml.Path_
) -> RegistryEntry:
    try:
        profile = _mapped(device, document, at) or profiles.load(device.profile)
    except ConfigError as error:
        if error.at.file.is_file():
            raise
        raise document.error((*at, "profile"), error.found, error.expected) from error
    if device.since is not None and not is_day(device.since):
        raise document.error((*at, "since"), *not_a_day(device.since))
    return RegistryEntry(
        device=device.id,
        gateway=gateway,
        profile=device.profile,
        site=device.site,
        sector=site.sector,
        interval_s=expected_interval_s(device, profile),
        privacy=device.privacy,
    )


def _mapped(device: DeviceEntry, document: strict_yaml.Document, at: strict_yaml.Path_) -> Profile | None:
    """Make the public half of what a device maps; None where it names a profile."""
    if device.codec is None or device.mapping is None:
        return None
    profile = mapping.profile_of(device.codec, device.mapping)
    try:
        profiles.check(document, profile, profile.profile)
    except ConfigError as error:
        raise document.error((*at, "mapping"), error.found, error.expected) from error
    profiles.declare(profile)
    return profile


def check_output(output: Path, *, is_first: bool) -> None:
    """Check that nobody begins a second history by a slip of the pen, or because the file was deleted.

    Raises: ConfigError where no registry stands and none is to be the first, and where one stands and it is.
    """
    if is_first and output.exists():
        raise ConfigError(Position(output), "a registry", "none yet for --first; leave that out to carry this one on")
    if not is_first and not output.exists():
        expected = "the one to carry on, from your backup if it was lost; --first if there never was one"
        raise ConfigError(Position(output), "no registry", expected)


def write_registry(
    directory: Path, output: Path, *, force: bool = False, backdate: bool = False, today: Day | None = None
) -> Built:
    """Check a town and write its registry; carries on the one that stands there, and never alters what it says.

    The file is replaced as a whole or not at all. `force`: many devices may be gone. `backdate`: changes may take
    effect today or earlier. `today`: the day in UTC.

    Raises: ConfigError at the line that is wrong, where the town would alter history, and where it has lost
    many devices; TransientError where the file cannot be written.
    """
    town = check(directory)
    amended: list[Amendment] = []
    if output.exists():
        before = registry_file.load(output)
        for profile in before.profiles.values():
            profiles.declare(profile)
        _check_lost(history.lost(before.entries, town.placed), output, force=force)
        when = When(today or datetime.now(UTC).date().isoformat(), backdate)
        entries = history.extend(before.entries, town.placed, when)
        sites = history.keep_sites(before, town.site_table, entries)
        amended = list(amendments(before.entries, entries, when.tomorrow))
    else:
        entries, sites = history.first(town.placed), town.site_table
    made = {entry.profile: profiles.load(entry.profile) for entry in entries if profiles.is_declared(entry.profile)}
    built = RegistryFile(format=1, town=town.file.name, sites=sites, entries=entries, profiles=made)
    registry_file.write(built, output)
    return Built(built, amended)


def _check_lost(lost: tuple[int, int], output: Path, *, force: bool) -> None:
    gone, had = lost
    if gone * 100 > had * history.MOST_LOST_PERCENT and not force:
        raise ConfigError(
            Position(output),
            f"{gone} of {had} devices that the town no longer has",
            f"at most {history.MOST_LOST_PERCENT} % to be gone; --force if that is meant",
        )
