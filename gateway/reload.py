"""A new configuration for a running agent: which one may be taken, and what became of the last try."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from base import strict_yaml
from base.errors import MessnetzError
from gateway import clock
from gateway import config as configs

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import GatewayConfig

FIXED = ("gateway", "clock", "spool", "uplink", "socket")
"""What holds as long as the agent runs: who it is, its time, its spool, its word to those who ask."""


@dataclass(frozen=True)
class Refused:
    """A configuration that was not taken."""

    at_ms: int
    error: str
    hash: str
    """Of the file as it was; empty where it could not be read."""


def load(current: GatewayConfig) -> GatewayConfig:
    """Read the file of a running agent again, and check that the agent can take it.

    Raises: ConfigError at the line that is wrong, or that changes what cannot change while the agent runs.
    """
    found = configs.load(current.path)
    for name in FIXED:
        if getattr(found.file, name) != getattr(current.file, name):
            document = strict_yaml.load(current.path)
            raise document.error((name,), f"another {name!r} than the agent runs with", _remedy(current.path, name))
    return found


def _remedy(path: Path, name: str) -> str:
    return f"the {name!r} that it had, or a restart of the agent: a reload cannot change it ({path.name})"


def refused(path: Path, error: MessnetzError) -> Refused:
    """Note why a file was not taken, and which it was."""
    try:
        found = configs.hash_of(strict_yaml.read(path))
    except MessnetzError:
        found = ""
    return Refused(clock.now_ms(), str(error), found)


def took(began_s: float) -> str:
    """Say how long a reload took."""
    return f"{time.monotonic() - began_s:.1f} s"
