"""Profiles of LoRaWAN devices, whichever of the three sources their messages come from."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from edge import planning
from edge.json_values.value import check_values
from edge.lorawan import half as halves
from edge.lorawan.half import LorawanHalf  # noqa: TC001 - msgspec reads the annotation
from edge.lorawan.model import Model
from wire import profile as public

if TYPE_CHECKING:
    from collections.abc import Mapping

    from base.strict_yaml import Document, Path_

DRIVER = "lorawan"
"""What the profiles of LoRaWAN devices have as their driver, whatever the source is called on its bus."""


class LorawanProfile(public.Profile, frozen=True, forbid_unknown_fields=True, kw_only=True, eq=False):
    """A whole profile of a LoRaWAN device."""

    lorawan: LorawanHalf

    @property
    def javascript(self) -> str:
        """The codec."""
        return halves.source(self.lorawan.codec)


@cache
def load(name: str) -> LorawanProfile:
    """Read and check a profile, once for each process.

    Raises: ConfigError at the line that is wrong.
    """
    document, profile = planning.load_profile(name, DRIVER, LorawanProfile)
    check(document, profile)
    return profile


def load_for(document: Document, at: Path_, name: str) -> LorawanProfile:
    """Load the profile that a device of a gateway's file names.

    Raises: ConfigError at the line of that file, where it names none of LoRaWAN's; in the profile, where that is wrong.
    """
    return planning.profile_of(document, at, name, DRIVER, load)


def check(document: Document, profile: LorawanProfile) -> None:
    """Check the protocol half against the public one.

    Raises: ConfigError at the line that is wrong.
    """
    half = profile.lorawan
    halves.check_codec(document, (DRIVER, "codec"), half.codec)
    check_values(document, (DRIVER, "values"), half.values, profile.readings, profile.parameters)
    if half.history is not None:
        halves.check_history(document, (DRIVER, "history"), half.history, profile)
    for index, name in enumerate(profile.readings):
        if name not in half.values:
            raise document.error(("readings", index), f"{name!r} without a value", "a row in 'lorawan: values:'")
    for name, setting in half.settings.items():
        if setting.minimum > setting.maximum:
            found = f"{setting.minimum:g} to {setting.maximum:g}"
            raise document.error((DRIVER, "settings", name), found, "low to high")


def compile_model(profile: LorawanProfile, parameters: Mapping[str, float]) -> Model:
    """Compile a profile for devices with these parameters (all declared ones, checked).

    What is compiled never changes, and devices of one kind share it.
    """
    return _compiled(profile, tuple(sorted(parameters.items())))


@lru_cache(1024)
def _compiled(profile: LorawanProfile, parameters: tuple[tuple[str, float], ...]) -> Model:
    half = profile.lorawan
    return Model.of(half, profile.javascript, dict(parameters))
