"""The file with the meters' keys: mode 0600, and never a word of it in a message.

# number of the meter, as printed on it; and its key, 32 hexadecimal digits
12345678: 0102030405060708090A0B0C0D0E0F11
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

from base.errors import ConfigError, Position
from base.retry import Backoff
from base.secrets import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.mbus.telegram import Address

logger = logging.getLogger(__name__)

_LINE = re.compile(r"^(?P<number>[0-9A-Fa-f]{8})[:\s]\s*(?P<key>[0-9A-Fa-f]{32})\s*(#.*)?\Z")
LOOK_AGAIN_S = 30.0
"""A file that was changed is read again after so long."""


def load(file: Path) -> dict[str, bytes]:
    """Read a file of keys, by the meters' numbers.

    Raises: ConfigError where it is missing, readable for others than its owner, or wrong; no key is shown.
    """
    keys: dict[str, bytes] = {}
    for at, line in enumerate(read_secret(file, "the keys of the meters").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line.strip())
        if match is None:
            raise ConfigError(Position(file, at), "another line", "NUMBER: KEY, eight and 32 hexadecimal digits")
        number = match["number"].upper()
        if number in keys:
            raise ConfigError(Position(file, at), f"the meter {number} a second time", "each meter once")
        keys[number] = bytes.fromhex(match["key"])
    return keys


class KeyFile:
    """Keys as they stand in a file, which may change while we run; none where there is no file."""

    def __init__(self, file: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._keys: dict[str, bytes] = {}
        self._looked_s: float | None = None
        self._changed_ns = -1
        self._trouble = Backoff("keys of meters", logger)

    def __call__(self, address: Address) -> bytes | None:
        """Return the key of a meter; None where it is not known."""
        now_s = self._clock()
        if self._file is not None and (self._looked_s is None or now_s - self._looked_s >= LOOK_AGAIN_S):
            self._looked_s = now_s
            self._look(self._file)
        return self._keys.get(address.number)

    def _look(self, file: Path) -> None:
        try:
            changed_ns = file.stat().st_mtime_ns
        except OSError:
            changed_ns = 0
        if changed_ns == self._changed_ns:
            return
        try:
            self._keys = load(file)
        except ConfigError as error:
            self._trouble.failed(error)
            return  # with the keys that were right before
        self._changed_ns = changed_ns
        self._trouble.succeeded()
