"""The protocol half of a LoRaWAN profile: which codec reads its messages, and what of the result is which reading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec

from base.errors import ConfigError
from edge.lorawan import paths, units
from wire.command import SettingName
from wire.ids import END
from wire.vocabulary import Label, quantities

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from base.strict_yaml import Document, Path_
    from wire.profile import Parameter

CODECS = Path(__file__).parent.parent.parent / "firmware-config" / "codecs"
CodecName: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*" + END,
        description="maker/name, as under firmware-config/codecs",
    ),
]
FPort: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=223)]
MAX_CODEC_BYTES = 1 << 20


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where one value stands in what the codec gives, and what it means.

    value = (given * scale * multiply_by / divide_by + add), converted from `unit`, + offset
    """

    path: str
    """`battery`, `sensors[0].value`, `registers[unit=Wh].last`: see edge/lorawan/paths.py."""
    unit: str | None = None
    """In which the codec gives it; the quantity's own unless set."""
    scale: float = 1.0
    multiply_by: str | None = None
    """A parameter, such as the ratio of a current transformer."""
    divide_by: str | None = None
    """A parameter, such as pulses per unit."""
    add: str | None = None
    """A parameter in the codec's unit, such as the height at which a level sensor hangs."""
    offset: float = 0.0
    states: dict[str, float] = {}
    """What the codec's words mean: `{open: 1, closed: 0}`; `true` and `false` need none."""
    above: float | None = None
    """Of a state: it is 1 where the number is greater than this, else 0."""
    no_value: list[float | str] = []
    """Numbers and words that mean that there is no value."""


class History(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Samples of former times that a device sends along."""

    path: str
    """Where the list of samples stands."""
    time: str
    """Path of the time within a sample."""
    clock: Literal["unix_s", "unix_ms", "text"] = "unix_s"
    """`text`: ISO 8601, UTC unless it says otherwise."""
    values: dict[str, Value] = {}
    """By the name of the reading, with paths within a sample; those of the profile unless set."""


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A setting of the device that a `configure` command may write."""

    label: Label
    key: str
    """Its name in what `encodeDownlink` takes."""
    unit: str | None = None
    minimum: float
    maximum: float


class LorawanHalf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the LoRaWAN sources must know of a model."""

    codec: CodecName
    """`firmware-config/codecs/<maker>/<name>.js`."""
    f_ports: list[FPort] = []
    """The ports that carry measurements; those of all others are not decoded. All do unless set."""
    payload_bytes: Annotated[int, msgspec.Meta(ge=1, le=242)] = 24
    """Usual length of a message (FRMPayload), for estimates of airtime."""
    values: dict[str, Value]
    """By the name of the reading."""
    history: History | None = None
    settings: dict[SettingName, Setting] = {}


def source(name: str, root: Path = CODECS) -> str:
    """Read a codec.

    Raises: OSError, UnicodeDecodeError as Path.read_text.
    """
    return (root / f"{name}.js").read_text(encoding="utf-8")


def check_codec(document: Document, at: Path_, name: str) -> None:
    """Check that a codec is there.

    Raises: ConfigError at the line that names it.
    """
    file = CODECS / f"{name}.js"
    if not file.is_file():
        known = sorted(str(each.relative_to(CODECS).with_suffix("")) for each in CODECS.glob("*/*.js"))
        raise document.error(at, f"no codec {name!r}", f"one of: {', '.join(known)}")
    if file.stat().st_size > MAX_CODEC_BYTES:
        raise document.error(at, f"the codec {name!r} of over 1 MiB", "a smaller one")


def check_values(
    document: Document,
    at: Path_,
    values: Mapping[str, Value],
    readings: Iterable[str],
    parameters: Mapping[str, Parameter],
) -> None:
    """Check a mapping against the readings and parameters of a profile.

    Raises: ConfigError at the line that is wrong.
    """
    known = set(readings)
    for name, value in values.items():
        if name not in known:
            found = f"the reading {name!r}"
            raise ConfigError(document.key_at(*at, name), found, "one of those listed under 'readings'")
        _check_value(document, (*at, name), name.partition("/")[0], value)
        for key, parameter in (("multiply_by", value.multiply_by), ("divide_by", value.divide_by), ("add", value.add)):
            if parameter is None:
                continue
            if parameter not in parameters:
                raise document.error((*at, name, key), repr(parameter), "a parameter declared under 'parameters'")
            declared = parameters[parameter]
            if key == "divide_by" and declared.minimum <= 0 <= declared.maximum:
                raise document.error((*at, name, key), f"{parameter!r}, which may be 0", "bounds without 0")


def _check_value(document: Document, at: Path_, quantity: str, value: Value) -> None:
    row = quantities()[quantity]
    if paths.parse(value.path) is None:
        raise document.error((*at, "path"), repr(value.path), "names joined by dots, such as 'sensors[0].value'")
    if units.conversion(value.unit, row.unit) is None:
        known = ", ".join(units.known(row.unit))
        raise document.error((*at, "unit"), repr(value.unit), f"a unit that {quantity!r} can be made of: {known}")
    if value.scale == 0:
        raise document.error((*at, "scale"), "0", "a factor that leaves something of the value")
    for key in ("states", "above"):
        if getattr(value, key) not in ({}, None) and row.kind != "state":
            raise document.error((*at, key), f"{key!r} of a {row.kind}", "it with states only")
    for text, state in value.states.items():
        if state not in (0, 1):
            raise document.error((*at, "states", text), f"{state:g}", "0 or 1")
