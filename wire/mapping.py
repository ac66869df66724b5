"""A device that no profile describes: what a codec of a town's own copy gives is mapped where the device is entered.

    - id: tree-7
      site: park
      codec: dragino/lse01        # a device of the repository that the bus names under `codecs`
      interval_s: 1200
      mapping:
        measurement: soil
        values:
          soil_vwc: {path: water_SOIL, unit: "%"}

The public half of a profile is made of it, under a name of its own: the same mapping of the same codec has the same
name wherever it stands, and another one has another. The registry carries that half, since no collector has the file.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, TypeAlias

import msgspec

from base.messages import Text
from wire.ids import END, ChannelName
from wire.profile import Channel, Limits, Parameter, Profile, Source

DRIVER = "lorawan"
MODEL_PATTERN = r"^[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*" + END
INTERVAL_S = 3600.0
"""Of the profile that is made; the device's own entry always says its own."""

RepositoryModel: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=MODEL_PATTERN, description="vendor/model, as `messnetz device codecs list` shows them")
]
_Port: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=223)]


class CodecMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What of a codec's result is which reading; all as in a profile."""

    measurement: str
    """Where the readings go: a row of measurements.yaml."""
    channels: dict[ChannelName, Channel] = {}
    limits: dict[str, Limits] = {}
    parameters: dict[str, Parameter] = {}
    f_ports: list[_Port] = []
    """The ports that carry measurements; all do unless set."""
    payload_bytes: Annotated[int, msgspec.Meta(ge=1, le=242)] = 51
    """Usual length of a message, for estimates of airtime."""
    values: Annotated[dict[str, dict[str, Any]], msgspec.Meta(min_length=1)]
    """By the name of the reading: `path`, `unit`, `scale`, `states`, ... as under `lorawan: values:` of a profile."""
    history: dict[str, Any] | None = None
    """Samples of former times, as under `lorawan: history:` of a profile."""


def name_of(codec: str, mapping: CodecMapping) -> str:
    """Return the name of the profile that a mapping stands for."""
    public = (codec, mapping.measurement, sorted(mapping.values), mapping.channels, mapping.limits, mapping.parameters)
    digest = hashlib.sha256(msgspec.json.encode(public, order="deterministic")).hexdigest()
    return f"{codec}-{digest[:8]}"


def profile_of(codec: str, mapping: CodecMapping) -> Profile:
    """Return the public half of a profile that a mapping stands for; nothing of it is checked."""
    return Profile(
        profile=name_of(codec, mapping),
        label=Text(de=codec, en=codec),
        driver=DRIVER,
        measurement=mapping.measurement,
        interval_s=INTERVAL_S,
        readings=list(mapping.values),
        channels=mapping.channels,
        limits=mapping.limits,
        parameters=mapping.parameters,
        sources=[Source(what="a mapping of the town's own", where="the gateway's file", retrieved="1970-01-01")],
    )
