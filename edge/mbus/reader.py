"""Reads one meter: resets it, or selects it by its number, and asks until all its readings are there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from base.errors import PermanentError
from edge.interface import Measured, NoAnswerError, Traffic
from edge.mbus import frame, mapping, telegram
from edge.mbus.errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.mbus.driver import MbusTarget
    from edge.mbus.line import Line
    from edge.mbus.mapping import Mapped
    from edge.mbus.records import Record
    from edge.mbus.telegram import Telegram

logger = logging.getLogger(__name__)

SELECTED = 253
"""The primary address of whoever was selected by number."""
RESET, ASK, SELECT = 0x40, 0x5B, 0x53
"""Control fields SND_NKE, REQ_UD2 and SND_UD."""
TOGGLE = 0x20
"""The frame count bit: where it changed a meter goes on to its next telegram, else it repeats the last one."""
SELECTION = 0x52
MOST_TELEGRAMS = 32


class MeterReader:
    """Reads one meter."""

    def __init__(self, target: MbusTarget, tries: int) -> None:
        self._target = target
        self._half = target.profile.mbus
        self._readings = mapping.compiled(target.profile, self._half.records, target.parameters)
        self._tries = tries
        self._requests = self._errors = 0
        self._toggle = TOGGLE
        self._said: tuple[object, ...] = ()

    @property
    def traffic(self) -> Traffic:
        """How often it was asked, and how often in vain."""
        return Traffic(self._requests, self._errors)

    async def read(self, line: Line) -> Measured:
        """Read everything the meter has.

        Raises: NoAnswerError where it does not answer; TelegramError where what it answers cannot be used;
        PermanentError where none of its records is one of its profile's.
        """
        await self._begin(line)
        try:
            mapped, at_s, count = await self._collect(line)
        finally:
            if self._is_selected and self._half.reset:
                await self._deselect(line)
        if not mapped.readings and not mapped.without_value:
            raise PermanentError(
                f"{line.address}, meter {self._target.address}: none of its {count} records is in the profile"
                f" {self._target.profile.profile}; compare with `messnetz device decode mbus`"
            )
        return Measured(mapped.readings, at_s, mapped.without_value)

    async def _collect(self, line: Line) -> tuple[Mapped, float, int]:
        """Ask for telegrams until all readings are there, or the meter has no more."""
        at_s = 0.0
        records: list[Record] = []
        previous = b""
        # without a reset the next reading goes on where this one ends: then all must be asked for
        for _ in range(self._half.telegrams if self._half.reset else MOST_TELEGRAMS):
            answer = await self._ask(line, frame.short_frame(ASK | self._toggle, self._address), self._check_origin)
            at_s = at_s or line.asked_at_s
            self._toggle ^= TOGGLE
            if answer == previous:
                break  # it repeats itself: that was all
            previous = answer
            found = telegram.decode(answer)
            records += found.content.records
            mapped = self._readings.apply(records)
            self._say(found, mapped)
            if not found.content.more_follow or (self._half.reset and not mapped.missing):
                break
        return self._readings.apply(records), at_s, len(records)

    @property
    def _is_selected(self) -> bool:
        return not isinstance(self._target.address, int)

    @property
    def _address(self) -> int:
        return self._target.address if isinstance(self._target.address, int) else SELECTED

    async def _begin(self, line: Line) -> None:
        """See to it that this meter, and no other, answers next, with its first telegram."""
        if isinstance(self._target.address, int):
            if not self._half.reset:
                return
            question = frame.short_frame(RESET, self._target.address)
        else:
            question = frame.long_frame(SELECT, SELECTED, SELECTION, self._target.address.mask())
        await self._ask(line, question, _check_acknowledged)
        if self._half.reset:
            self._toggle = TOGGLE

    async def _deselect(self, line: Line) -> None:
        """Let the meter leave the address that all share; where it does not say so, the next selection does it."""
        try:
            await line.ask(frame.short_frame(RESET, SELECTED))
        except (NoAnswerError, DamagedError) as error:
            logger.debug("device %s: %s", self._target.id, error)

    async def _ask(self, line: Line, question: bytes, check: Callable[[bytes], None]) -> bytes:
        """Ask, and ask again where the answer is none.

        Raises: NoAnswerError, DamagedError: what was wrong with the last answer.
        """
        left = self._tries
        while True:
            left -= 1
            self._requests += 1
            try:
                answer = await line.ask(question)
                check(answer)
            except (NoAnswerError, DamagedError) as error:
                self._errors += 1
                if not left:
                    text = f"{line.address}, meter {self._target.address}: {error}"
                    raise type(error)(text) from error
                continue
            return answer

    def _check_origin(self, answer: bytes) -> None:
        """Refuse what no meter says, or another one does: a late answer, or two meters at one address.

        Raises: DamagedError.
        """
        found = frame.parse_long(answer)
        if isinstance(self._target.address, int):
            if found.address != self._target.address:
                raise DamagedError(f"an answer of the meter at address {found.address}")
            return
        if found.information == telegram.FIXED:
            number = found.content[3::-1].hex().upper()
            if not self._target.address.is_number(number):
                raise DamagedError(f"an answer of the meter {number}")
        # what has another header does not say whose it is: an error that the selected meter reports, say
        if found.information == telegram.LONG_HEADER and len(found.content) >= telegram.LONG_HEADER_BYTES:
            address = telegram.read_address(found.content[:8])
            if not self._target.address.is_met_by(address):
                raise DamagedError(f"an answer of the meter {address.number} {address.manufacturer}")

    def _say(self, found: Telegram, mapped: Mapped) -> None:
        """Log what a person should know of the meter, once until it changes."""
        lacks_for_good = mapped.missing if not found.content.more_follow else ()
        said = (found.status.words(), lacks_for_good, found.content.damage)
        if said == self._said or (not any(said) and not self._said):
            return
        self._said = said
        logger.warning(
            "device %s: status: %s; not in its telegrams: %s%s",
            self._target.id,
            ", ".join(found.status.words()) or "well",
            ", ".join(lacks_for_good) or "nothing",
            f"; damaged: {found.content.damage}" if found.content.damage else "",
        )


def _check_acknowledged(answer: bytes) -> None:
    if answer != bytes([frame.ACKNOWLEDGED]):
        raise DamagedError(f"{answer[:8].hex(' ')}, where an acknowledgement (E5) was due")
