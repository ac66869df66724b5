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
    parameters: dict[str, Parameter] = {}
    sources: Annotated[list[Source], msgspec.Meta(min_length=1)]
    caveats: list[str] = []


class OwnProfile(Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of what no driver reads: the gateway itself."""

    driver: Literal["none"]


def names(root: Path = PROFILES) -> list[str]:
    """Names of all profiles, sorted."""
    return sorted(str(file.relative_to(root).with_suffix("")) for file in root.glob("*/*.yaml"))


def load_document(name: str, root: Path = PROFILES) -> strict_yaml.Document:
    """Read the file of a profile.

    Raises: ConfigError where there is none of that name.
    """
    file = root / f"{name}.yaml"
    if not _NAME.match(name) or not file.is_file():
        raise ConfigError(Position(file), f"no profile {name!r}", f"one of: {', '.join(names(root))}")
    return strict_yaml.load(file)


@cache
def load(name: str, root: Path = PROFILES) -> Profile:
    """Read and check the public half of a profile; once, however many devices have it.

    Raises: ConfigError at the line that is wrong.
    """
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
