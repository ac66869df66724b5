"""Whose commands a gateway obeys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import ConfigError, Position
from wire import signing

if TYPE_CHECKING:
    from collections.abc import Iterable


def read_keys(settings: str | Iterable[str]) -> dict[str, bytes]:
    """Read the public keys that `command_key` names, by their ids.

    Raises: ConfigError naming the file that is wrong.
    """
    keys: dict[str, bytes] = {}
    for setting in [settings] if isinstance(settings, str) else settings:
        for text in _key_texts(setting):
            key = signing.read_key(text)
            keys[signing.key_id(key)] = key
    return keys


def _key_texts(setting: str) -> list[str]:
    if not setting.startswith("/") or _is_key(setting):
        return [setting]
    file = Path(setting)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            Position(file), f"no readable file ({error})", "a file with public keys, one a line"
        ) from None
    texts = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text and not _is_key(text):
            raise ConfigError(Position(file, number), "no public key", "one as `messnetz cloud key` prints it")
        texts += [text] if text else []
    if not texts:
        raise ConfigError(Position(file), "no public key", "at least one, as `messnetz cloud key` prints it")
    return texts


def _is_key(text: str) -> bool:
    try:
        signing.read_key(text)
    except ValueError:
        return False
    return True
