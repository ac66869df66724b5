"""What every driver checks alike: the profile of a device, and its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from base.errors import ConfigError
from edge import parameters
from wire import profile as public

if TYPE_CHECKING:
    from collections.abc import Callable

    from base.strict_yaml import Document, Path_
    from wire.profile import Profile
    from wire.town import DeviceEntry

P = TypeVar("P", bound="Profile")


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
