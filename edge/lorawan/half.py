"""The protocol half of a LoRaWAN profile: which codec reads its messages, and what of the result is which reading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec

from edge.json_values import paths
from edge.json_values.value import Value, check_values
from wire.command import SettingName
from wire.ids import END
from wire.vocabulary import Label

if TYPE_CHECKING:
    from base.strict_yaml import Document, Path_
    from wire.profile import Profile

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


def source(name: str) -> str:
    """Read a codec.

    Raises: OSError, UnicodeDecodeError as Path.read_text.
    """
    return (CODECS / f"{name}.js").read_text(encoding="utf-8")


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


def check_history(document: Document, at: Path_, history: History, profile: Profile) -> None:
    """Check where samples of former times stand.

    Raises: ConfigError at the line that is wrong.
    """
    for key, path in (("path", history.path), ("time", history.time)):
        if paths.parse(path) is None:
            raise document.error((*at, key), repr(path), "names joined by dots, such as 'history'")
    check_values(document, (*at, "values"), history.values, profile.readings, profile.parameters)
