"""`registry.yaml`: which device stands where, read by which gateway, from which day on.

A program writes it, and writes JSON, which is YAML 1.2 as well: a city's registry is read in a moment, and a
diff shows a device a line.
"""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from base import strict_yaml
from base.errors import TransientError
from base.files import sync
from wire import profile as profiles_of
from wire.ids import Day, Id, is_day, not_a_day
from wire.profile import Profile, ProfileName
from wire.town import Sector, Site

if TYPE_CHECKING:
    from collections.abc import Iterable

BEGINNING = "1970-01-01"
MAX_BYTES = 64 << 20
"""Some 400,000 entries; more is no town of ours."""
_MAX_NODES = 16 * MAX_BYTES  # no file has more values than bytes, and this one has no aliases


class RegistryEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One device from one day on. All that its readings are tagged with stands here, and never changes."""

    device: Id
    gateway: Id
    profile: ProfileName
    site: Id
    sector: Sector
    since: Day = BEGINNING
    until: Day | None = None
    """First day on which this no longer holds; open unless set."""
    interval_s: Annotated[float, msgspec.Meta(gt=0)]
    privacy: Literal["public", "internal"] = "internal"

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What decides where readings go: gateway, profile, site, sector."""
        return self.gateway, self.profile, self.site, self.sector


class RegistryFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`registry.yaml`, built from a town's directory by `messnetz town registry`."""

    format: Literal[1]
    town: str
    sites: dict[Id, Site]
    """Names and coordinates, those of places that only former entries name included."""
    entries: list[RegistryEntry]
    profiles: dict[ProfileName, Profile] = {}
    """Public halves that a town's mappings make (`wire.mapping`): no collector has them in a file."""


_decoder = msgspec.json.Decoder(RegistryFile)


def load(path: Path) -> RegistryFile:
    """Read and check a registry.

    Raises: ConfigError at the line that is wrong.
    """
    data = strict_yaml.read(path, MAX_BYTES)
    try:
        file = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        file = _parse(data, path).convert(RegistryFile)  # raises where the fault is, or takes what a person wrote
    for name, profile in file.profiles.items():
        profiles_of.check(strict_yaml.Document(path, None), profile, name)
    seen: set[tuple[str, str]] = set()
    for index, entry in enumerate(file.entries):
        fault = _fault(entry, file.sites, seen)
        if fault is not None:
            key, found, expected = fault
            raise _parse(data, path).error(("entries", index, key), found, expected)
        seen.add((entry.device, entry.since))
    return file


def _parse(data: bytes, path: Path) -> strict_yaml.Document:
    """Find out where everything stands; takes seconds for a city, so only where something is wrong."""
    return strict_yaml.parse(data, path, max_bytes=MAX_BYTES, max_nodes=_MAX_NODES)


def _fault(entry: RegistryEntry, sites: dict[str, Site], seen: set[tuple[str, str]]) -> tuple[str, str, str] | None:
    """Return what no type can say of an entry: key, what was found, what would be right."""
    for key, day in (("since", entry.since), ("until", entry.until)):
        if day is not None and not is_day(day):
            return key, *not_a_day(day)
    if entry.until is not None and entry.until <= entry.since:
        return "until", f"{entry.until!r}, which is not after {entry.since}", "a day after 'since'"
    if entry.site not in sites:
        return "site", f"the site {entry.site!r}", "one of those under 'sites'"
    if (entry.device, entry.since) in seen:
        return "device", f"{entry.device!r} twice from {entry.since} on", "one entry a day"
    return None


def start_of(day: str) -> int:
    """Return the start of a day in UTC, in Unix milliseconds."""
    return round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


def encode(file: RegistryFile) -> bytes:
    """Write a registry: head, then a site a line, then an entry a line."""
    head = b'{"format": %d, "town": %b, "sites": {' % (file.format, _line(file.town))
    sites = (b"%b: %b" % (_line(site), _line(entry)) for site, entry in file.sites.items())
    entries = (_line(entry) for entry in file.entries)
    made = b', "profiles": %b' % _line(file.profiles) if file.profiles else b""
    return b'%b\n%b\n}, "entries": [\n%b\n]%b}\n' % (head, _lines(sites), _lines(entries), made)


def _line(value: Any) -> bytes:  # noqa: ANN401 - whatever msgspec encodes
    return msgspec.json.format(msgspec.json.encode(value), indent=0)


def _lines(lines: Iterable[bytes]) -> bytes:
    return b",\n".join(lines)


def write(file: RegistryFile, path: Path) -> None:
    """Write a registry to disk; the file is replaced as a whole or not at all, and a power cut brings no old one back.

    A link stays one, and what it leads to is replaced; mode and, where root writes, owner stay as they were.

    Raises: TransientError where it cannot be written.
    """
    place = Path(os.path.realpath(path))  # Path.resolve raises RuntimeError for links in a circle
    draft = place.with_name(place.name + ".new")
    try:
        with draft.open("wb") as handle:
            _keep_access(place, handle.fileno())
            handle.write(encode(file))
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(place)
        sync(place.parent)
    except OSError as error:
        raise TransientError(f"{path}: cannot be written ({error.strerror})") from error


def _keep_access(place: Path, draft: int) -> None:
    """Give a draft the mode and the owner of the file that it is to replace, if there is one."""
    try:
        before = place.stat()
    except FileNotFoundError:
        return
    if os.geteuid() == 0:
        os.fchown(draft, before.st_uid, before.st_gid)
    os.fchmod(draft, stat.S_IMODE(before.st_mode))
