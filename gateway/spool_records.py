"""What goes into the spool and comes out of it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from wire import batch as wire_batch
from wire.senml import RELATIVE_BELOW_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wire.readings import Sample

DAY_MS = 86_400_000
EARLIEST_MS = RELATIVE_BELOW_S * 1000
"""What is below counts from the start of the machine; what is not is Unix time."""


class SealedBatch(NamedTuple):
    """One batch as it lies in the spool, column by column."""

    number: int
    stream: str
    sealed_at_ms: int
    """Unix time; before the batch is placed, the time since the start of the machine, as all times in its pack."""
    readings: int
    first_ms: int
    """Of its oldest reading."""
    last_ms: int
    head: int
    """As `head_of` computed it when the batch was sealed, or placed."""
    crc: int
    """CRC-32 of the pack, computed then, too."""
    pack: bytes

    @property
    def is_head_sound(self) -> bool:
        """Whether the disk gave back of the other columns what was written."""
        return self.head == head_of(self.stream, self.sealed_at_ms, self.readings, self.first_ms, self.last_ms)

    @property
    def is_sound(self) -> bool:
        """Whether the disk gave back what was written: a flipped bit must not become a measurement.

        Nor another stream or time of sealing: such a batch would wait for its confirm for ever.
        """
        return self.is_head_sound and zlib.crc32(self.pack) == self.crc

    @property
    def is_placed(self) -> bool:
        """Whether its times are Unix time."""
        return self.sealed_at_ms >= EARLIEST_MS

    def payload(self) -> bytes:
        """Build the message that carries it."""
        return wire_batch.header_line(self.stream, self.number, self.sealed_at_ms, self.crc) + self.pack

    def samples(self) -> list[Sample]:
        """Open the pack.

        Raises: DamagedError, BadMessageError.
        """
        earliest_ms = EARLIEST_MS if self.is_placed else 0
        return wire_batch.open_pack(*wire_batch.open_header(self.payload()), earliest_s=earliest_ms / 1000)


def head_of(stream: str, sealed_at_ms: int, readings: int, first_ms: int, last_ms: int) -> int:
    """CRC-32 of what a batch's row says beside its pack; the number is the key by which it is found."""
    return zlib.crc32(f"{stream} {sealed_at_ms} {readings} {first_ms} {last_ms}".encode())


@dataclass(frozen=True)
class Settled:
    """Numbers on which the collector has given its word since the last seal."""

    confirmed: frozenset[int] = frozenset()
    rejected: Mapping[int, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.confirmed or self.rejected)


@dataclass(frozen=True)
class Totals:
    """Readings and batches since the spool was made; gap batches count as any other.

    What is sealed is confirmed, rejected, waiting or evicted, and only one of them. A batch that was confirmed stays
    confirmed when its week is over; one that is put back waits again.
    """

    sealed_batches: int = 0
    sealed_readings: int = 0
    confirmed_batches: int = 0
    confirmed_readings: int = 0
    rejected_batches: int = 0
    rejected_readings: int = 0
    waiting_batches: int = 0
    waiting_readings: int = 0
    evicted_batches: int = 0
    """Let go of without being confirmed: for room, for age, or because the disk lost them. Each is in a gap."""
    evicted_readings: int = 0


@dataclass(frozen=True)
class Limits:
    """What the spool may take."""

    quota_bytes: int = 1 << 30
    """Live pages and write-ahead log; never more than half of the file system."""
    floor_bytes: int = 200 << 20
    """Free disk under which sealing stops; never more than a twentieth of the file system."""
    keep_unconfirmed_ms: int = 365 * DAY_MS
