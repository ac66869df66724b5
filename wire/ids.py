"""Ids of gateways and devices: one name space for the whole town."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

import msgspec

ID_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
CHANNEL_PATTERN = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"
QUANTITY_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"

Id: TypeAlias = Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
"""Lower-case letters, digits and hyphens; at most 63 characters."""

_ID = re.compile(ID_PATTERN)


def is_id(text: str) -> bool:
    """Whether a text may name a gateway or a device."""
    return _ID.match(text) is not None
