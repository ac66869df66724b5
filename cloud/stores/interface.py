"""What a store must do. `tests/cloud/stores` holds every implementation to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from base.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cloud.points import Point


class RejectedPointsError(PermanentError):
    """Some of these points can never be stored; the others may have been. Asked in parts, the store tells which.

    Any other PermanentError of a write is about the store as a whole (credentials, a missing right): a person
    must act, and no point is to blame.
    """


class Store(Protocol):
    """A place for points. All times are Unix time in nanoseconds; ranges are half open: start <= time < end.

    Every method raises TransientError where trying later may help (unreachable, overloaded, timed out) and
    PermanentError where it never will (refused credentials; rejected points: RejectedPointsError).
    """

    def prepare(self) -> None:
        """Reach the store; make its database or file where it may. Called once before anything else."""

    def write(self, points: Sequence[Point]) -> None:
        """Write points; returns only when the store has them on disk.

        Idempotent: a field of the same series and time is replaced, so the same points may be written again.
        """

    def series(
        self, measurement: str, start_ns: int, end_ns: int, tags: Mapping[str, str] | None = None
    ) -> Iterator[Point]:
        """All points of a measurement in a time range, those with all of `tags` only; in order of time."""

    def latest(self, measurement: str, tags: Mapping[str, str] | None = None) -> list[Point]:
        """The newest value of each field of each series, as points of one field each."""

    def tag_values(self, measurement: str, tag: str) -> list[str]:
        """The values that a tag has in a measurement, sorted."""

    def measurements(self) -> list[str]:
        """Names of all measurements that hold points, sorted."""

    def close(self) -> None:
        """Let go of connections and files."""
