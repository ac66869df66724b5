"""Profiles of what speaks JSON, from a broker or by HTTP: where each value stands, and when it was measured."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec

from base.errors import ConfigError
from edge import planning, thinning
from edge.json_source import times
from edge.json_source.times import OwnTime
from edge.json_values.value import Value, check_values
from edge.thinning import Thinned  # noqa: TC001 - likewise
from wire import profile as public
from wire.ids import END
from wire.town import DeviceEntry
from wire.vocabulary import Label, quantities

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from base.strict_yaml import Document, Path_
    from edge.planning import Planned

DRIVER = "json"
"""What the profiles have as their driver, whether a broker or HTTP brings what they describe."""
PLAIN = "$"
"""The path of a payload that is one number or word."""
_PART = re.compile(r"\{([^{}]*)\}")
PartName: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,31}" + END, description="lower-case letters, digits and '_'")
]
PartText: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r'^[^\x00-\x20+#{}\[\]"=,?%&\\]([^\x00-\x1f+#{}\[\]"=,?%&\\]{0,198}[^\x00-\x20+#{}\[\]"=,?%&\\])?'
        + END,
        description="a text without wildcards, brackets, quotes, '=', ',', '?', '&' and '%'",
    ),
]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What of a topic or path is the device's own: `{name}` in the profile, `parts: {name: ...}` in its entry."""

    label: Label
    default: PartText | None = None
    """Required in the device's entry where there is none."""


class JsonValue(Value, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where one value stands in what the source says, and what it means."""

    path: str = PLAIN
    """`ENERGY.Power`, `sensors[0].value`, `values[type=P1].value`, `data["a.b"]`; the payload itself unless set."""
    topic: str | None = None
    """Where a broker has it, if not under the profile's own topic."""


class JsonHalf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the JSON drivers must know of a model."""

    topic: str | None = None
    """Where a broker has its messages: `tele/{name}/SENSOR`."""
    path: str | None = None
    """What is asked for by HTTP, behind the bus's URL: `/data.json`."""
    parts: dict[PartName, Part] = {}
    time: OwnTime | None = None
    """When it was measured, where the source says so. Without it: when it came."""
    values: Annotated[dict[str, JsonValue], msgspec.Meta(min_length=1)]
    """By the name of the reading."""

    def topics(self) -> Iterator[str]:
        """Return the topics under which a broker has it."""
        yield from dict.fromkeys(topic for value in self.values.values() if (topic := value.topic or self.topic))


class JsonProfile(public.Profile, frozen=True, forbid_unknown_fields=True, kw_only=True, eq=False):
    """A whole profile of what speaks JSON."""

    json: JsonHalf
    thinning: dict[str, Thinned] | None = None
    """Where it is set (`{}` is enough): of an interval one sample is kept, made of all that a broker brought."""

    def check(self, document: Document) -> None:
        """Check the protocol half against the public one.

        Raises: ConfigError at the line that is wrong.
        """
        half = self.json
        check_values(document, (DRIVER, "values"), half.values, self.readings, self.parameters)
        for index, name in enumerate(self.readings):
            if name not in half.values:
                raise document.error(("readings", index), f"{name!r} without a value", "a row in 'json: values:'")
        if half.path is None and half.topic is None and not all(value.topic for value in half.values.values()):
            raise document.error((DRIVER,), "neither 'topic' nor 'path'", "where its messages are")
        if half.path is not None and not half.path.startswith("/"):
            raise document.error((DRIVER, "path"), repr(half.path), "a path that begins with /")
        self._check_topics(document)
        self._check_parts(document)
        self._check_times(document)

    def _check_topics(self, document: Document) -> None:
        rows: list[tuple[Path_, str | None]] = [((DRIVER, "topic"), self.json.topic)]
        rows += [((DRIVER, "values", name, "topic"), value.topic) for name, value in self.json.values.items()]
        for at, topic in rows:
            if topic is not None and (not topic or any(sign in topic for sign in "+#\0") or topic.startswith("$")):
                raise document.error(at, repr(topic), "a topic without wildcards; '{name}' for what differs")

    def _check_parts(self, document: Document) -> None:
        half = self.json
        rows: list[tuple[Path_, str | None]] = [((DRIVER, "topic"), half.topic), ((DRIVER, "path"), half.path)]
        for name, value in half.values.items():
            rows += [((DRIVER, "values", name, "path"), value.path), ((DRIVER, "values", name, "topic"), value.topic)]
        for at, text in rows:
            for part in _PART.findall(text or ""):
                if part not in half.parts:
                    raise document.error(at, f"'{{{part}}}'", "a part declared under 'json: parts:'")

    def _check_times(self, document: Document) -> None:
        half = self.json
        if half.time is not None:
            times.check(document, (DRIVER, "time"), half.time)
            if self.thinning is not None:
                raise document.error(("thinning",), "'thinning' beside 'time'", "one of them: each has its own sample")
            if any(value.topic for value in half.values.values()):
                raise document.error((DRIVER, "time"), "'time' with values under topics of their own", "one topic")
        elif half.path is not None:
            for index, name in enumerate(self.readings):
                if quantities()[name.partition("/")[0]].kind == "delta":
                    found = f"{name!r}, a count of an interval, without 'json: time:'"
                    raise document.error(("readings", index), found, "'time': asked twice, it would count twice")
        if self.thinning is not None:
            thinning.check(document, self.readings, self.thinning)


class JsonDevice(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One source of JSON."""

    parts: dict[PartName, PartText] = msgspec.field(default_factory=dict)
    """What of its topic or path is its own: its profile's `parts` say which there are."""


@cache
def load(name: str) -> JsonProfile:
    """Read and check a profile, once for each process.

    Raises: ConfigError at the line that is wrong.
    """
    document, profile = planning.load_profile(name, DRIVER, JsonProfile)
    profile.check(document)
    return profile


def device_of(document: Document, at: Path_, entry: JsonDevice) -> tuple[Planned[JsonProfile], dict[str, str]]:
    """Return a device of a gateway's file with its profile, and a text for each of the profile's parts.

    Raises: ConfigError at the line that is wrong.
    """
    device = planning.device_of(document, at, entry, DRIVER, load)
    half = device.profile.json
    parts = _parts_of(document, at, entry, half.parts)
    for part in {name for value in half.values.values() for name in _PART.findall(value.path)}:
        if "." in parts[part]:
            raise document.error((*at, "parts", part), repr(parts[part]), "a text without dots: it stands in a path")
    return device, parts


def _parts_of(document: Document, at: Path_, device: JsonDevice, declared: Mapping[str, Part]) -> dict[str, str]:
    for name in device.parts:
        if name not in declared:
            expected = f"one of: {', '.join(declared)}" if declared else "none: this profile has no parts"
            raise ConfigError(document.key_at(*at, "parts", name), f"the unknown part {name!r}", expected)
    found: dict[str, str] = {}
    for name, part in declared.items():
        text = device.parts.get(name, part.default)
        if text is None:
            raise document.error(at, f"no part {name!r}", f"'parts: {{{name}: ...}}' ({part.label.en})")
        found[name] = text
    return found


def filled(text: str, parts: Mapping[str, str]) -> str:
    """Put a device's parts in their places."""
    return _PART.sub(lambda match: parts[match[1]], text)
