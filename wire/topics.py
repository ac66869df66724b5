"""The topics of one town on one broker."""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeAlias

import msgspec

from wire.ids import END, is_id

DEFAULT_PREFIX = "messnetz"
KINDS = ("batch", "confirm", "status", "command", "reply")

Prefix: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*" + END,
        max_length=100,
        description="letters, digits, '_' and '-', in levels parted by '/'",
    ),
]


class Topic(NamedTuple):
    """A topic taken apart."""

    gateway: str
    kind: str


class Topics:
    """Builds and reads the topics under one prefix."""

    def __init__(self, prefix: str = DEFAULT_PREFIX) -> None:
        self.prefix = prefix

    def of(self, gateway: str, kind: str) -> str:
        """Topic of one gateway and kind; `+` as gateway subscribes to all."""
        return f"{self.prefix}/{gateway}/{kind}"

    def read(self, topic: str) -> Topic | None:
        """Take a topic apart; None where it is none of ours."""
        head, _, kind = topic.rpartition("/")
        prefix, _, gateway = head.rpartition("/")
        if prefix != self.prefix or kind not in KINDS or not is_id(gateway):
            return None
        return Topic(gateway, kind)
