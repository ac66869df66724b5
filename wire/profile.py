"""The public half of a profile: what a model of device measures, whoever reads it.

A profile is one YAML file, `firmware-config/profiles/<maker>/<model>.yaml`. Its protocol half stands under the
name of the driver and is read by that driver in `edge` alone.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from base import strict_yaml
from base.errors import ConfigError, Position
from wire.ids import END, ChannelName, ChannelPart, Day
from wire.vocabulary import Label, measurements, quantities

PROFILES = Path(__file__).parent.parent / "firmware-config" / "profiles"
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*" + END
_NAME = re.compile(NAME_PATTERN)

ProfileName: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=NAME_PATTERN, description="maker/model, as under firmware-config/profiles")
]


class Channel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The parts of a channel; each becomes a tag in the store. Joined by dots they are its name."""

    lane: ChannelPart | None = None
    direction: ChannelPart | None = None
    vehicle_class: ChannelPart | None = msgspec.field(default=None, name="class")
    phase: ChannelPart | None = None
    depth: ChannelPart | None = None

    def parts(self) -> list[tuple[str, str]]:
        """Tag and value of each part, in the order of the contract."""
        named = (
            ("lane", self.lane),
            ("direction", self.direction),
            ("class", self.vehicle_class),
            ("phase", self.phase),
            ("depth", self.depth),
        )
        return [(tag, value) for tag, value in named if value is not None]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the facts of a profile come from."""

    what: str
    where: str
    retrieved: Day


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a profile leaves to the place where its device is mounted, such as a current transformer's ratio."""

    label: Label
    unit: str | None = None
    default: float | None = None
    """Required in the device's entry where there is none."""
    minimum: float
    maximum: float
    type: Literal["number", "whole"] = "number"
    choices: list[float] = []
    """The only values that it may have, where these are few."""

    def fits(self, value: float) -> bool:
        """Whether a value is one that the parameter may have."""
        in_type = self.type == "number" or float(value).is_integer()
        return self.minimum <= value <= self.maximum and in_type and (not self.choices or value in self.choices)

    def expected(self) -> str:
        """Say in words which values fit."""
        if self.choices:
            return " or ".join(f"{choice:g}" for choice in self.choices)
        kind = "a whole number" if self.type == "whole" else "a number"
        return f"{kind}, {self.minimum:g} to {self.maximum:g}"


_Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What of one reading is plausible with this model, where that is less than the quantity allows.

    All in the quantity's unit; times `multiply_by` and divided by `divide_by`, as the value itself.
    """

    range: tuple[float, float] | None = None
    """Beyond it a value cannot be."""
    step: _Positive | None = None
    """Largest plausible change in a minute; of a counter, what can flow in a minute."""
    stuck_h: _Positive | None = None
    """Hours without change until it counts as stuck."""
    modulus: _Positive | None = None
    """The number at which a counter starts over from 0, such as 100000 for five digits."""
    resolution: _Positive | None = None
    """The smallest step between two values."""
    multiply_by: str | None = None
    """A parameter, such as the ratio of a current transformer."""
    divide_by: str | None = None
    """A parameter, such as pulses per unit."""

    def scaled(self, factor: float) -> Limits:
        """Return the limits of a device whose values are so much larger."""
        low, high = sorted(end * factor for end in self.range or (0.0, 0.0))
        return Limits(
            range=(low, high) if self.range else None,
            step=self.step and self.step * abs(factor),
            stuck_h=self.stuck_h,
            modulus=self.modulus and self.modulus * abs(factor),
            resolution=self.resolution and self.resolution * abs(factor),
        )


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The public half. Unknown keys are the protocol half's, and are checked where that is read."""

    profile: ProfileName
    label: Label
    driver: str
    measurement: str
    interval_s: Annotated[float, msgspec.Meta(gt=0)]
    """Expected interval between samples, unless the device's own entry says otherwise."""
    readings: Annotated[list[str], msgspec.Meta(min_length=1)]
    """`<quantity>` or `<quantity>/<channel>`, as on the wire."""
    channels: dict[ChannelName, Channel] = {}
    limits: dict[str, Limits] = {}
    """By the name of the reading: what is plausible with this model."""
    parameters: dict[str, Parameter] = {}
    sources: Annotated[list[Source], msgspec.Meta(min_length=1)]
    caveats: list[str] = []


class OwnProfile(Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of what no driver reads: the gateway itself."""

    driver: Literal["none"]


def names(root: Path = PROFILES) -> list[str]:
    """Names of all profiles, sorted."""
    return sorted(str(file.relative_to(root).with_suffix("")) for file in root.glob("*/*.yaml"))


def names_of(driver: str) -> list[str]:
    """Names of the profiles that a driver reads, sorted.

    Raises: ConfigError where one of them is broken.
    """
    return [name for name in names() if load(name).driver == driver]


def load_document(name: str, root: Path = PROFILES) -> strict_yaml.Document:
    """Read the file of a profile.

    Raises: ConfigError where there is none of that name.
    """
    file = root / f"{name}.yaml"
    if not _NAME.match(name) or not file.is_file():
        raise ConfigError(Position(file), f"no profile {name!r}", f"one of: {', '.join(names(root))}")
    return strict_yaml.load(file)


_declared: dict[str, Profile] = {}


def declare(profile: Profile) -> None:
    """Make a public half known that stands in no file of ours, and was checked: `load` returns it by its name."""
    _declared[profile.profile] = profile


def is_declared(name: str) -> bool:
    """Whether a profile stands in no file of ours."""
    return name in _declared


def load(name: str, root: Path = PROFILES) -> Profile:
    """Read and check the public half of a profile; once, however many devices have it.

    Raises: ConfigError at the line that is wrong.
    """
    return _declared[name] if name in _declared else _load_file(name, root)


@cache
def _load_file(name: str, root: Path) -> Profile:
    document = load_document(name, root)
    profile = document.convert(Profile)
    check(document, profile, name)
    return profile


def check(document: strict_yaml.Document, profile: Profile, name: str) -> None:
    """Check what the public half says against the vocabulary.

    Raises: ConfigError at the line that is wrong.
    """
    if profile.profile != name:
        raise document.error(("profile",), repr(profile.profile), f"{name!r}, as the file is named")
    known = measurements().readings.measurements
    if profile.measurement not in known:
        raise document.error(("measurement",), repr(profile.measurement), f"one of: {', '.join(known)}")
    fields = measurements().fields(profile.measurement)
    for channel, parts in profile.channels.items():
        joined = ".".join(value for _, value in parts.parts())
        if joined != channel:
            raise document.error(("channels", channel), f"the parts of {joined!r}", f"parts that join to {channel!r}")
    _check_parameters(document, profile)
    _check_limits(document, profile)
    seen: set[str] = set()
    for index, reading in enumerate(profile.readings):
        quantity, _, channel = reading.partition("/")
        at = ("readings", index)
        if quantity not in quantities():
            raise document.error(at, f"the unknown quantity {quantity!r}", "a row of quantities.yaml")
        if quantity not in fields:
            raise document.error(at, repr(quantity), f"a field of {profile.measurement!r} in measurements.yaml")
        if channel and channel not in profile.channels:
            raise document.error(at, f"the channel {channel!r}", "a channel declared under 'channels'")
        if reading in seen:
            raise document.error(at, f"{reading!r} a second time", "each reading once")
        seen.add(reading)


def _check_parameters(document: strict_yaml.Document, profile: Profile) -> None:
    for name, parameter in profile.parameters.items():
        if parameter.minimum > parameter.maximum:
            raise document.error(("parameters", name), f"{parameter.minimum:g} to {parameter.maximum:g}", "low to high")
        if parameter.default is not None and not parameter.fits(float(parameter.default)):
            raise document.error(("parameters", name, "default"), f"{parameter.default:g}", parameter.expected())


def _check_limits(document: strict_yaml.Document, profile: Profile) -> None:
    for name, limits in profile.limits.items():
        at = ("limits", name)
        row = quantities().get(name.partition("/")[0])
        if name not in profile.readings or row is None:
            raise ConfigError(document.key_at(*at), f"the reading {name!r}", "one of those listed under 'readings'")
        if limits.range and limits.range[0] >= limits.range[1]:
            raise document.error((*at, "range"), "{:g} to {:g}".format(*limits.range), "low to high")
        if limits.modulus and row.kind != "counter":
            raise document.error((*at, "modulus"), f"'modulus' of a {row.kind}", "it with counters only")
        if limits.stuck_h and row.kind not in ("gauge", "delta"):
            raise document.error((*at, "stuck_h"), f"'stuck_h' of a {row.kind}", "it with gauges and deltas only")
        for key, parameter in (("multiply_by", limits.multiply_by), ("divide_by", limits.divide_by)):
            _check_factor(document, (*at, key), profile.parameters, parameter)


def _check_factor(
    document: strict_yaml.Document, at: strict_yaml.Path_, declared: dict[str, Parameter], name: str | None
) -> None:
    if name is None:
        return
    if name not in declared:
        raise document.error(at, repr(name), "a parameter declared under 'parameters'")
    if declared[name].minimum <= 0 <= declared[name].maximum:
        raise document.error(at, f"{name!r}, which may be 0", "bounds without 0")
