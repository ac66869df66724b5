"""The collector's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from base import strict_yaml
from base.mqtt import MqttConfig
from cloud.stores.config import StoreConfig
from wire.ids import Id
from wire.topics import DEFAULT_PREFIX, Prefix

if TYPE_CHECKING:
    from pathlib import Path


class CollectorFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`collector.yaml`."""

    collector: Id
    """Name of this collector; also its MQTT client id."""
    prefix: Prefix = DEFAULT_PREFIX
    mqtt: MqttConfig
    registry: str = "registry.yaml"
    """Made by `messnetz town registry`; relative to this file, like every path here."""
    store: StoreConfig


def load(path: Path) -> CollectorFile:
    """Read and check a collector's file.

    Raises: ConfigError at the line that is wrong.
    """
    return strict_yaml.load(path).convert(CollectorFile)
