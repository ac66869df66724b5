"""Profiles that a gateway's file makes: a codec of a town's own repository, and what of its result is which reading."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from base.errors import ConfigError
from edge.json_values.value import Value, check_values
from edge.lorawan import profile as profiles
from edge.lorawan.half import History, LorawanHalf, check_history
from edge.lorawan.profile import LorawanProfile
from wire import profile as public
from wire.mapping import CodecMapping, profile_of

if TYPE_CHECKING:
    from pathlib import Path

    from base.strict_yaml import Document, Path_
    from wire.town import DeviceEntry


class MappedProfile(LorawanProfile, frozen=True, kw_only=True, eq=False):
    """A profile whose codec lies in a town's own repository."""

    source: str

    @property
    def javascript(self) -> str:
        """The codec."""
        return self.source


def profile_for(document: Document, at: Path_, device: DeviceEntry, codecs: str | None) -> LorawanProfile:
    """Return the profile of a device of a gateway's file: the one that it names, or what its mapping makes.

    `at`: where the device stands. `codecs`: the repository that its bus names, relative to the file.

    Raises: ConfigError at the line that is wrong.
    """
    if device.codec is None or device.mapping is None:
        return profiles.load_for(document, (*at, "profile"), device.profile)
    if codecs is None:
        raise document.error((*at, "codec"), f"the codec {device.codec!r}", "`codecs: DIR` on the bus: where it lies")
    shown = profile_of(device.codec, device.mapping)
    _check(document, (*at, "mapping"), shown, device.mapping)
    public.declare(shown)
    source = _source(document, (*at, "codec"), document.file.parent / codecs, device.codec)
    return _made(device.codec, source, msgspec.json.encode(device.mapping))


def _source(document: Document, at: Path_, directory: Path, model: str) -> str:
    from edge.lorawan.codec.repository import Repository  # noqa: PLC0415 - for towns that have one

    try:
        return Repository(directory).source(model)
    except ConfigError as error:
        if error.at.file.is_file():
            raise
        raise document.error(at, error.found, error.expected) from error


def _check(document: Document, at: Path_, shown: public.Profile, mapping: CodecMapping) -> None:
    try:
        public.check(document, shown, shown.profile)
    except ConfigError as error:
        place = next((name for name in mapping.values if repr(name.partition("/")[0]) in error.found), None)
        position = document.key_at(*at, "values", place) if place else document.at(*at, "measurement")
        raise ConfigError(position, error.found, error.expected) from error
    values = document.convert(dict[str, Value], (*at, "values"))
    check_values(document, (*at, "values"), values, shown.readings, shown.parameters)
    if mapping.history is None:
        return
    history = document.convert(History, (*at, "history"))
    check_history(document, (*at, "history"), history, shown)


@lru_cache(1024)
def _made(codec: str, source: str, mapping: bytes) -> MappedProfile:
    """Make the same profile of the same words, so that a reload finds nothing new."""
    entered = msgspec.json.decode(mapping, type=CodecMapping)
    half = LorawanHalf(
        codec=codec,
        f_ports=entered.f_ports,
        payload_bytes=entered.payload_bytes,
        values=msgspec.convert(entered.values, dict[str, Value]),
        history=None if entered.history is None else msgspec.convert(entered.history, History),
    )
    shown = msgspec.structs.asdict(profile_of(codec, entered))
    return MappedProfile(**shown, lorawan=half, source=source)
