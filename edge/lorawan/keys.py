"""The file with the keys of LoRaWAN devices: mode 0600, and never a word of it in a message.

# DevEUI -> what its maker's sheet says
a81758fffe0512ab: {app_key: 2b7e151628aed2a6abf7158809cf4f3c}
70b3d57ed0051234: {dev_addr: 26011bda, nwk_s_key: 44024241ed4ce9a68c6a8bc055233fd3, app_s_key: ec92...}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec

from base import strict_yaml
from base.errors import ConfigError, Position
from base.secrets import read_secret
from wire.ids import END

if TYPE_CHECKING:
    from pathlib import Path

    from base.strict_yaml import Document

DEV_EUI_PATTERN = r"^([0-9A-Fa-f]{2}[-:]?){7}[0-9A-Fa-f]{2}" + END
_DEV_EUI = re.compile(DEV_EUI_PATTERN)
_DEV_ADDR = re.compile(r"^[0-9A-Fa-f]{8}" + END)
_KEY = re.compile(r"^[0-9A-Fa-f]{32}" + END)
_NAMES = ("app_key", "nwk_s_key", "app_s_key", "f_nwk_s_int_key", "s_nwk_s_int_key")

DevEui: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=DEV_EUI_PATTERN, description="16 hexadecimal digits, as on the device's label")
]


class DeviceKeys(msgspec.Struct, frozen=True):
    """The keys of one device, as far as they are known. Its text shows none of them."""

    app_key: bytes | None = None
    """Of OTAA (1.0.x): the device joins with it."""
    dev_addr: int | None = None
    """Of ABP, as the two that follow."""
    nwk_s_key: bytes | None = None
    app_s_key: bytes | None = None
    f_nwk_s_int_key: bytes | None = None
    """Of LoRaWAN 1.1, as the next one; only for `messnetz device decode`."""
    s_nwk_s_int_key: bytes | None = None

    def __repr__(self) -> str:
        return "DeviceKeys(...)"

    @property
    def is_otaa(self) -> bool:
        """Whether the device joins."""
        return self.app_key is not None

    @property
    def is_abp(self) -> bool:
        """Whether the device was given a session once and for all."""
        return None not in (self.dev_addr, self.nwk_s_key, self.app_s_key)

    @property
    def is_whole(self) -> bool:
        """Whether a network server can serve the device: by its app_key, or in a session, and not both."""
        has_some = any(each is not None for each in (self.dev_addr, self.nwk_s_key, self.app_s_key))
        return not has_some if self.is_otaa else self.is_abp


def dev_eui(text: str) -> str:
    """Write a DevEUI one way only: 16 hexadecimal digits, lower case."""
    return text.replace("-", "").replace(":", "").lower()


def load(file: Path) -> dict[str, DeviceKeys]:
    """Read a file of keys, by DevEUI.

    Raises: ConfigError where it is missing, readable for others than its owner, or wrong; no key is shown.
    """
    text = read_secret(file, "the keys of the devices")
    try:
        document = strict_yaml.parse(text.encode(), file)
    except ConfigError as error:
        raise ConfigError(error.at, "what is no YAML", "DevEUI: {app_key: ...}, a line for each device") from None
    if not isinstance(document.value, dict):
        raise ConfigError(Position(file), "no mapping", "DevEUI: {app_key: ...}, one line for each device")
    keys: dict[str, DeviceKeys] = {}
    for name in document.value:
        if not _DEV_EUI.match(name):
            raise ConfigError(document.key_at(name), "no DevEUI", "16 hexadecimal digits")
        if dev_eui(name) in keys:
            raise ConfigError(document.key_at(name), f"the DevEUI {dev_eui(name)} a second time", "each device once")
        keys[dev_eui(name)] = _device(document, name)
    return keys


def _device(document: Document, name: str) -> DeviceKeys:
    entry = document.lookup((name,))
    if not isinstance(entry, dict):
        raise document.error((name,), "no mapping", "{app_key: ...} or {dev_addr: ..., nwk_s_key: ..., app_s_key: ...}")
    for key in entry:
        if key not in (*_NAMES, "dev_addr"):
            raise ConfigError(
                document.key_at(name, key), "an unknown key", f"one of: {', '.join((*_NAMES, 'dev_addr'))}"
            )
    found: dict[str, bytes] = {}
    for key in _NAMES:
        if key in entry:
            text = entry[key]
            if not isinstance(text, str) or not _KEY.match(text):
                found_ = "a number" if isinstance(text, int | float) else "something else"
                raise document.error((name, key), found_, "32 hexadecimal digits, in quotes where they are digits only")
            found[key] = bytes.fromhex(text)
    address = entry.get("dev_addr")
    if address is not None and (not isinstance(address, str) or not _DEV_ADDR.match(address)):
        raise document.error((name, "dev_addr"), "something else", "8 hexadecimal digits, in quotes")
    return DeviceKeys(dev_addr=None if address is None else int(address, 16), **found)


def lacking(of_device: DeviceKeys | None, file: Path) -> str:
    """Say what a file does not tell of a device that needs an app_key or a session, and not both."""
    if of_device is None:
        return f"{file} has no keys"
    return f"{file} has {'too many' if of_device.is_otaa else 'too few'} keys"
