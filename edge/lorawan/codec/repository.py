"""A town's own copy of a codec repository, laid out as TheThingsNetwork/lorawan-devices is. We ship none of it.

vendor/<vendor>/<model>.yaml    a device: its name, and for each firmware and region the codec it needs
vendor/<vendor>/<codec>.yaml    a codec: files of its decoder and encoder, with examples
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from base import strict_yaml
from base.errors import ConfigError, Position
from edge.lorawan.codec.decode import read_codec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGION = "EU863-870"
MAX_EXAMPLES = 200
_PART = re.compile(r"[a-z0-9][a-z0-9-]*\Z")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_MODEL = "VENDOR/MODEL, as `messnetz device codecs list` shows them"


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a codec and what it must give."""

    description: str = ""
    input: dict[str, Any]
    output: dict[str, Any]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A decoder or an encoder."""

    file: str = msgspec.field(name="fileName")
    examples: list[Example] | None = None


class CodecFile(msgspec.Struct, frozen=True, kw_only=True):
    """A codec's YAML."""

    uplink: Part | None = msgspec.field(default=None, name="uplinkDecoder")
    encoder: Part | None = msgspec.field(default=None, name="downlinkEncoder")
    downlink: Part | None = msgspec.field(default=None, name="downlinkDecoder")


class _Region(msgspec.Struct, frozen=True, kw_only=True):
    codec: str | None = None


class _Firmware(msgspec.Struct, frozen=True, kw_only=True):
    profiles: dict[str, _Region] = {}


class DeviceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A device's YAML, as far as it concerns us."""

    name: str
    firmware: list[_Firmware] = msgspec.field(name="firmwareVersions")


class Found(NamedTuple):
    """A device of the repository."""

    model: str
    """`vendor/model`."""
    name: str
    codec: str | None
    """Name of its codec's YAML, for Europe if there are several; None where it has none."""


class Repository:
    """A directory in that layout."""

    def __init__(self, directory: Path) -> None:
        """Raises: ConfigError where it is none."""
        self.directory = directory
        self._vendors = directory / "vendor"
        if not self._vendors.is_dir():
            expected = "a copy of a codec repository (vendor/<vendor>/<model>.yaml)"
            raise ConfigError(Position(directory), "no directory 'vendor' in it", expected)

    def files(self) -> Iterator[Path]:
        """YAML files of devices and codecs, by vendor."""
        for vendor in sorted(each for each in self._vendors.iterdir() if each.is_dir()):
            yield from sorted(file for file in vendor.glob("*.yaml") if file.name != "index.yaml")

    def devices(self, query: str = "") -> Iterator[Found]:
        """Devices whose vendor, model or name has all words of a query; files that cannot be read are left out."""
        words = query.lower().split()
        for file in self.files():
            try:
                found = self._device(file)
            except ConfigError:
                continue
            text = f"{found.model} {found.name}".lower() if found else ""
            if found is not None and all(word in text for word in words):
                yield found

    def source(self, model: str) -> str:
        """Return the JavaScript that decodes what a device (`vendor/model`) sends.

        Raises: ConfigError where there is no such device, it has no codec, or that cannot be read.
        """
        vendor, _, name = model.partition("/")
        file = self._vendors / vendor / f"{name}.yaml"
        if not (_PART.match(vendor) and _PART.match(name) and file.is_file()):
            raise ConfigError(Position(self.directory), f"no device {model!r}", self._nearest(model))
        device = self._device(file)
        codec = file.stem if device is None else device.codec
        if codec is None:
            raise ConfigError(Position(file), "no codec", "a device with one")
        codec_file = self.codec_file(file.with_name(f"{codec}.yaml"))
        if codec_file.uplink is None:
            raise ConfigError(Position(file.with_name(f"{codec}.yaml")), "no uplinkDecoder", "one")
        return self.code(file.parent, codec_file.uplink)

    def codec_file(self, file: Path) -> CodecFile:
        """Read a codec's YAML.

        Raises: ConfigError at the line that is wrong.
        """
        self._check_place(file)
        return strict_yaml.load(file).convert(CodecFile)

    def code(self, vendor: Path, part: Part) -> str:
        """Read the JavaScript of a decoder or encoder; it stands beside its YAML, and nowhere else.

        Raises: ConfigError where it cannot be read.
        """
        if not _FILE.match(part.file):
            raise ConfigError(Position(vendor), f"the file {part.file!r}", "a file in the vendor's own directory")
        self._check_place(vendor / part.file)
        return read_codec(vendor / part.file)

    def _check_place(self, file: Path) -> None:
        """Refuse a link that leads out of the repository, or nowhere."""
        try:
            is_within = file.resolve().is_relative_to(self.directory.resolve())
        except (OSError, RuntimeError):  # links in a circle
            is_within = False
        if not is_within:
            raise ConfigError(Position(file), "a link that leads out of the repository", "a file within it")

    def _device(self, file: Path) -> Found | None:
        """Read a device's YAML; None where the file is another's."""
        self._check_place(file)
        document = strict_yaml.load(file)
        if document.lookup(("firmwareVersions",)) is None:
            return None
        device = document.convert(DeviceFile)
        regions = [firmware.profiles for firmware in reversed(device.firmware)]
        codecs = [region.get(REGION) for region in regions] + [each for region in regions for each in region.values()]
        codec = next((each.codec for each in codecs if each is not None and each.codec is not None), None)
        if codec is not None and not _FILE.match(codec):
            raise document.error((), f"the codec {codec!r}", "a name")
        return Found(f"{file.parent.name}/{file.stem}", device.name, codec)

    def _nearest(self, model: str) -> str:
        import difflib  # noqa: PLC0415 - for who made a mistake alone

        vendor = model.partition("/")[0]
        known = [f"{file.parent.name}/{file.stem}" for file in self.files() if file.parent.name == vendor]
        near = difflib.get_close_matches(model, known, 3)
        near = near or difflib.get_close_matches(vendor, [each.name for each in self._vendors.iterdir()], 3)
        return f"perhaps {' or '.join(near)}; {_MODEL}" if near else _MODEL
