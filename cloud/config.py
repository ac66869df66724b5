"""The collector's configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import msgspec

from base import strict_yaml
from base.broker import MqttConfig
from base.errors import ConfigError, Position
from base.secrets import read_secret
from cloud.stores.config import StoreConfig
from wire.ids import END, Id
from wire.topics import DEFAULT_PREFIX, Prefix

if TYPE_CHECKING:
    from pathlib import Path

    from cloud.registry import Registry

_GROUP = re.compile(r"[A-Za-z0-9_-]{1,100}")
Listen = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\s/@:]+:[1-9][0-9]{0,4}" + END, description="an IPv4 address or a name, and a port: 127.0.0.1:9464"
    ),
]


class CollectorFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`collector.yaml`."""

    collector: Id
    """Name of this collector; also its MQTT client id. No gateway and no device has the same."""
    prefix: Prefix = DEFAULT_PREFIX
    """Beginning of all topics: as in `town.yaml`."""
    mqtt: MqttConfig
    """The broker."""
    registry: str = "registry.yaml"
    """Made by `messnetz town registry`; relative to this file, like every path here."""
    store: StoreConfig
    """The database."""
    shared: bool = False
    """Share the gateways' batches with other collectors; the broker must know shared subscriptions."""
    group_file: str | None = None
    """With `shared`: a file with mode 0600 that holds the name that these collectors have in common, a secret."""
    listen: Listen | None = None
    """Where `/metrics` and `/healthz` are answered over HTTP, as `127.0.0.1:9464`; nowhere unless set."""
    ahead_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 600.0
    """A batch further ahead of this machine's clock waits on its gateway until its time has come."""

    def __post_init__(self) -> None:
        if self.shared != (self.group_file is not None):
            raise ValueError("'shared: true' together with 'group_file', or neither")


def load(path: Path) -> CollectorFile:
    """Read and check a collector's file.

    Raises: ConfigError at the line that is wrong.
    """
    return strict_yaml.load(path).convert(CollectorFile)


def read_group(config: CollectorFile, base_dir: Path) -> str | None:
    """Read the secret name of the collectors' group; None where the subscription is not shared.

    Raises: ConfigError where the file is missing, open to others, or holds no such name.
    """
    if config.group_file is None:
        return None
    file = base_dir / config.group_file
    group = read_secret(file, "the name that these collectors share")
    if not _GROUP.fullmatch(group):
        raise ConfigError(Position(file), "no name of a group", "1 to 100 letters, digits, '_' and '-'")
    return group


def check_id(path: Path, config: CollectorFile, registry: Registry) -> None:
    """Check that no gateway and no device has the collector's id: what it publishes would look like theirs.

    Raises: ConfigError at the line of the collector's file.
    """
    if registry.names(config.collector):
        found = f"{config.collector!r}, which a gateway or a device of {config.registry} has"
        raise strict_yaml.load(path).error(("collector",), found, "an id of its own")
