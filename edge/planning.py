"""What every driver checks alike: the profile of a device, and its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from base.errors import ConfigError
from edge import parameters
from wire import profile as public

if TYPE_CHECKING:
    from collections.abc import Callable

    from base.strict_yaml import Document, Path_
    from wire.profile import Profile
    from wire.town import DeviceEntry

P = TypeVar("P", bound="Profile")
P_co = TypeVar("P_co", bound="Profile", covariant=True)


@dataclass(frozen=True)
class Planned(Generic[P_co]):
    """A device of a gateway's file, with what its profile makes of it."""

    id: str
    interval_s: float
    profile: P_co
    parameters: dict[str, float]
    """A value for every parameter that the profile declares."""

    @property
    def meaning(self) -> tuple[object, ...]:
        """What makes its words mean what they do; with another meaning it is another device."""
        return self.profile.profile, tuple(sorted(self.parameters.items()))


def device_of(document: Document, at: Path_, entry: DeviceEntry, driver: str, load: Callable[[str], P]) -> Planned[P]:
    """Return a device with its profile. `at`: where it stands; `load`: as that of `profile_of`.

    Raises: ConfigError at the line that is wrong.
    """
    profile = profile_of(document, (*at, "profile"), entry.profile, driver, load)
    parameters = parameters_of(document, at, entry, profile)
    return Planned(entry.id, entry.interval_s or profile.interval_s, profile, parameters)


def check_interval(document: Document, at: Path_, interval_s: float, shortest_s: float, why: str) -> None:
    """Refuse a device that is to be read too often. `at`: where the device stands; `why`: behind the interval.

    Raises: ConfigError at the line that is wrong.
    """
    if interval_s < shortest_s:
        raise document.error((*at, "interval_s"), f"{interval_s:g} s, {why}", f"{shortest_s:g} s or more")


def profile_of(document: Document, at: Path_, name: str, driver: str, load: Callable[[str], P]) -> P:
    """Load the profile that a line asks for; where it is another driver's, that line is wrong, and not the profile.

    `at`: where the name stands. `load`: reads and checks both halves of a profile of this driver.

    Raises: ConfigError at the line that is wrong.
    """
    codec = (*at[:-1], "codec")
    if document.lookup(codec) is not None:
        raise document.error(codec, f"a codec of LoRaWAN on a bus that reads {driver!r}", "'profile' in its place")
    try:
        return load(name)
    except ConfigError as error:
        found = f"no profile {name!r}"
        if error.at.file.is_file():
            if (of := public.load(name).driver) == driver:
                raise
            whose = "which no bus reads" if of == "none" else f"which is one of driver {of!r}"
            found = f"the profile {name!r}, {whose}"
        raise document.error(at, found, f"one of: {', '.join(public.names_of(driver))}") from error


def load_document(name: str, driver: str) -> Document:
    """Read the file of a whole profile.

    Raises: ConfigError where there is none, or it is another driver's.
    """
    document = public.load_document(name)
    if (found := document.convert(public.Profile).driver) != driver:
        raise document.error(("driver",), repr(found), repr(driver))
    return document


def load_profile(name: str, driver: str, kind: type[P]) -> tuple[Document, P]:
    """Read both halves of a profile, and check the public one; the driver checks its own in the document.

    Raises: ConfigError at the line that is wrong.
    """
    document = load_document(name, driver)
    profile = document.convert(kind)
    public.check(document, profile, name)
    return document, profile


def parameters_of(document: Document, at: Path_, entry: DeviceEntry, profile: Profile) -> dict[str, float]:
    """Return a value for every parameter that a device's profile declares. `at`: where the device stands.

    Raises: ConfigError at the line that is wrong.
    """
    try:
        return parameters.check(entry.parameters, profile.parameters)
    except parameters.ParameterError as error:
        raise document.error((*at, "parameters", error.name), error.found, error.expected) from error
