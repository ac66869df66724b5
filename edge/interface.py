"""What a driver is to the gateway: a bus that can be checked at the desk, and then opened.

Checking a configuration and touching hardware are two calls: `Driver.plan` reads files only, `BusPlan.open`
touches the port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from base.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import msgspec

    from base.strict_yaml import Document, Path_
    from wire.command import Configure, Downlink
    from wire.profile import Profile
    from wire.readings import Reading


class ParkedError(TransientError):
    """No news, and nothing to log: the device is parked and was not asked, or it has nothing to say yet."""


class NoAnswerError(TransientError):
    """The device did not answer: silent, gone, or on a line that cannot be opened."""


class Traffic(NamedTuple):
    """How often a device was asked since its bus was opened, and how often that failed.

    An error is what never came back whole: no answer, or one that cannot be read. An exception that the device
    answered with is none: the line carried it.
    """

    requests: int = 0
    errors: int = 0


class Measured(NamedTuple):
    """What a device said, and when it was asked for it."""

    readings: tuple[Reading, ...]
    at_s: float
    """When the first question was put on the line, on the monotonic clock (`time.monotonic`)."""
    without_value: tuple[str, ...] = ()
    """Names of the readings for which the device says that it has no value."""
    at_ms: int | None = None
    """The source's own time (Unix, ms), where it has one: then the readings carry it, and `at_s` is when they came."""


class Heard(NamedTuple):
    """A sample that came by itself."""

    device: str
    measured: Measured
    before_sealing: Callable[[], None] | None = None
    """Called before the commit that seals the sample, on another thread than the bus's: what must not be done twice,
    whenever the agent is killed, is committed here. Where it raises, it is called again with the next seal."""
    sealed: Callable[[], None] | None = None
    """Called when the sample is on disk, or lost and declared so, on the event loop: now its source may forget it."""
    is_urgent: bool = False
    """Somebody waits: it is sealed at once."""


class Place(NamedTuple):
    """What a bus has for itself: no two buses of a gateway may share it."""

    key: str
    """The setting that names it."""
    address: str
    """A port or an endpoint, written one way only."""


class PlannedDevice(Protocol):
    """One device as the schedule sees it."""

    @property
    def id(self) -> str:
        """Id of the device, unique in the town."""

    @property
    def interval_s(self) -> float:
        """Seconds between two samples."""


class Bus(Protocol):
    """An open bus. One reader at a time; a device that fails leaves it usable for the others."""

    async def read(self, device: str) -> Measured:
        """Read all quantities of one device, now.

        Raises: ParkedError where it was not asked; NoAnswerError where it does not answer; TransientError where it
        cannot now; PermanentError where it refuses.
        """

    def traffic(self, device: str) -> Traffic:
        """Return how often a device was asked, and how often in vain."""

    def parked_s(self, device: str) -> float | None:
        """Return the seconds until a parked device is asked again; None where it is not parked."""

    def follow(self, plan: BusPlan) -> None:
        """Go on with another plan of the same line (`BusPlan.is_same_line`), between two readings.

        What is known of devices that did not change stays: whether they are parked, and what was learned of them.
        """

    async def close(self) -> None:
        """Let go of the port or connection."""


@runtime_checkable
class EventfulBus(Protocol):
    """An open bus some of whose devices speak when they want, each word a sample of its own.

    `Bus.read` of such a device has no readings: it says whether the device is there. ParkedError: no news;
    NoAnswerError: nothing was heard for too long.
    """

    async def heard(self) -> Heard:
        """Wait for the next sample of any device.

        It is called again as soon as the last one was taken. A fault of one message is counted, and not raised.
        """


@runtime_checkable
class CommandableBus(Protocol):
    """An open bus whose driver can also tell a device something. A driver without this method cannot."""

    async def carry_out(self, command: Configure | Downlink) -> dict[str, Any]:
        """Carry out a command that city IT has signed; nothing else is on the line meanwhile.

        Returns: what the device said, as the reply's result.
        Raises: PermanentError where the profile does not declare it, or the device refuses; TransientError where it
        does not answer.
        """


@runtime_checkable
class CountingBus(Protocol):
    """An open bus that counts what it hears, beyond what belongs to one device."""

    def counts(self) -> Mapping[str, int]:
        """Return what was counted since the bus was opened, by the names of `edge.counts`."""


class BusPlan(Protocol):
    """A checked bus of the configuration."""

    @property
    def id(self) -> str:
        """Id of the bus, unique on its gateway."""

    @property
    def devices(self) -> tuple[PlannedDevice, ...]:
        """The devices on it, in the order of the file."""

    @property
    def place(self) -> Place:
        """Where it is."""

    def cost_s(self, device: str) -> float:
        """Estimate for how many seconds one reading of a device keeps the bus busy, when all is well."""

    def faster(self, share: float) -> str:
        """Say which setting would cut the bus's time to this share of what it is; empty where none would."""

    @property
    def listens(self) -> bool:
        """Whether its devices speak by themselves: then intervals end with the clock's, and none waits for another."""

    def is_same_line(self, other: BusPlan) -> bool:
        """Whether another plan reaches its devices in the same way, so that an open bus can go on with it."""

    def open(self) -> Bus:
        """Make the bus ready; the port itself is opened with the first reading."""


class Driver(Protocol):
    """One protocol."""

    title: str
    """As the configuration reference names one of its buses: `A Modbus bus`."""
    config: type[msgspec.Struct]
    """A bus of it in a gateway's file."""

    def profile_kinds(self) -> tuple[type[Profile], ...]:
        """Return the kinds of whole profiles that it reads, for the schema that editors use."""

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
