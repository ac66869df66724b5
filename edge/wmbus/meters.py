"""Understands what is heard: whose telegram it is, what its records mean, and whether its turn has come.

A meter sends every 16 seconds to 15 minutes; of an interval the first telegram is taken, and all show that it is there.
"""

from __future__ import annotations

import json
import logging
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from edge.hearing import Said
from edge.interface import Measured
from edge.mbus import mapping, units
from edge.mbus.errors import TelegramError
from edge.plausibility.encoding import shortest
from edge.wmbus import link
from edge.wmbus.profile import field_unit
from edge.wmbus.receivers import telegram_of
from edge.wmbus.telegram import Decoder
from wire.readings import Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge.mbus.mapping import Readings
    from edge.mbus.telegram import Address
    from edge.wmbus.link import Form
    from edge.wmbus.profile import WmbusHalf, WmbusProfile
    from edge.wmbus.telegram import Keys

logger = logging.getLogger(__name__)

DAMAGED = "damaged on its way: the reception is weak, or the receiver's line disturbed"
BEYOND = 1e18
"""No meter counts so far; and NaN is not below it."""
EARLY = 0.9
"""Of an interval: so soon the next telegram may be taken, since meters do not keep our clock."""
TELEGRAM_KEYS = ("telegram", "raw_hex", "hex", "data")
TIME_KEYS = ("timestamp", "time")
LEAST_TIME_MS = 1_000_000_000_000
"""September 2001: what is older is no time of a telegram."""


class Wanted(NamedTuple):
    """A meter that is wanted."""

    device: str
    number: str
    maker: str | None
    interval_s: float
    profile: WmbusProfile
    parameters: Mapping[str, float]


class Meters:
    """The wanted meters, and what is known of them."""

    def __init__(self, wanted: Sequence[Wanted], keys: Keys) -> None:
        self._decoder = Decoder(keys)
        self._wanted: dict[str, Wanted] = {}
        self._readings: dict[str, Readings] = {}
        self._taken_s: dict[str, float] = {}
        self._said: dict[str, tuple[object, ...]] = {}
        self.follow(wanted)

    def follow(self, wanted: Sequence[Wanted]) -> None:
        """Go on with other meters; what is known of those that stay, stays."""
        self._wanted = {each.device: each for each in wanted}
        self._readings = {
            each.device: mapping.compiled(each.profile, each.profile.wmbus.records, each.parameters) for each in wanted
        }
        self._taken_s = {device: at_s for device, at_s in self._taken_s.items() if device in self._wanted}

    def telegram(self, data: bytes, at_s: float, at_ms: int | None = None, form: Form = "any") -> list[Said]:
        """Return what a telegram says; nothing where it is no wanted meter's, or nobody can tell whose.

        `at_s`: when it came, monotonic; `at_ms`: when it was heard elsewhere (Unix), where that is known.
        """
        try:
            frame = link.parse(data, form)
        except TelegramError:
            sender = link.sender_of(data)
            return [] if sender is None else [Said(each.device, None, DAMAGED) for each in self._of(sender)]
        by_sender = self._of(frame.sender)
        try:
            found = self._decoder.decode(data, form)
        except TelegramError as error:
            return [Said(each.device, None, str(error)) for each in by_sender]
        said: list[Said] = []
        for each in self._of(found.address) or by_sender:
            content = found.telegram.content
            mapped = self._readings[each.device].apply(content.records)
            self._say(each.device, found.telegram.status.words(), mapped.missing, content.damage)
            if not mapped.readings and not mapped.without_value:
                why = content.damage or "none of its records is in the profile"
                said.append(Said(each.device, None, why))
                continue
            said.append(self._taken(each, mapped.readings, mapped.without_value, at_s, at_ms))
        return said

    def message(self, payload: bytes, at_s: float, *, is_old: bool = False) -> list[Said]:
        """Return what a message with a raw telegram says: hexadecimal digits, alone or in JSON.

        `is_old`: it was said before we listened, so that only its own time can tell when.
        """
        at_ms: int | None = None
        text = payload.strip()
        if text.startswith(b"{"):
            document = _object(text)
            found = next((document[key] for key in TELEGRAM_KEYS if isinstance(document.get(key), str)), "")
            at_ms = _time_ms(document)
            text = found.strip().encode("ascii", "replace")
        data = telegram_of(text)
        is_of_no_time = is_old and at_ms is None
        return [] if data is None or is_of_no_time else self.telegram(data, at_s, at_ms)

    def report(self, payload: bytes, at_s: float) -> list[Said]:
        """Return what a message of a wmbusmeters daemon says.

        One without a time may be of any age, since the broker keeps it while we are away.
        """
        document = _object(payload)
        number = document.get("id")
        if not isinstance(number, str):
            return []
        at_ms = _time_ms(document)
        said: list[Said] = []
        for each in self._wanted.values():
            if each.number != number.upper():
                continue
            if str(document.get("meter", "")) == "unknown":
                said.append(Said(each.device, None, "wmbusmeters knows no driver for it"))
                continue
            readings = _readings_of(document, self._readings[each.device], each.profile.wmbus)
            if not readings:
                why = "none of its fields is in the profile; encrypted, perhaps, and wmbusmeters lacks the key"
                said.append(Said(each.device, None, why))
                continue
            if at_ms is None:
                said.append(Said(each.device, None, "it has no 'timestamp', so nobody knows when that was"))
                continue
            said.append(self._taken(each, readings, (), at_s, at_ms))
        return said

    def _of(self, address: Address) -> list[Wanted]:
        return [
            each
            for each in self._wanted.values()
            if each.number == address.number and each.maker in (None, address.manufacturer)
        ]

    def _taken(
        self, each: Wanted, readings: tuple[Reading, ...], without: tuple[str, ...], at_s: float, at_ms: int | None
    ) -> Said:
        """Take a telegram where its turn has come; else it only shows that the meter is there."""
        now_s = at_s if at_ms is None else at_ms / 1000
        before_s = self._taken_s.get(each.device)
        if before_s is not None and 0 <= now_s - before_s < EARLY * each.interval_s:
            return Said(each.device)
        self._taken_s[each.device] = now_s
        return Said(each.device, Measured(readings, at_s, without, at_ms))

    def _say(self, device: str, status: tuple[str, ...], missing: tuple[str, ...], damage: str) -> None:
        """Log what a person should know of a meter, once until it changes."""
        said = (status, missing, damage)
        if said == self._said.get(device, ((), (), "")):
            return
        self._said[device] = said
        words = ", ".join(status) or "well", ", ".join(missing) or "nothing"
        logger.warning("device %s: status: %s; not in its telegrams: %s %s", device, *words, damage)


def _object(payload: bytes) -> dict[str, Any]:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _time_ms(document: Mapping[str, Any]) -> int | None:
    """Return when a message says that its telegram was heard; None where it does not, or cannot be right."""
    text = next((document[key] for key in TIME_KEYS if isinstance(document.get(key), str)), None)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        at_ms = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return at_ms if at_ms >= LEAST_TIME_MS else None


def _readings_of(document: Mapping[str, Any], readings: Readings, half: WmbusHalf) -> tuple[Reading, ...]:
    found: list[Reading] = []
    for name, template in readings.templates.items():
        values = ((field_unit(field), document.get(field)) for field in half.names_of(name))
        for known, value in values:
            if known is None or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if not abs(value) < BEYOND:  # JSON has whole numbers of any length
                continue
            converted = units.convert(value * known[1], known[0], template.unit)
            if converted is not None and math.isfinite(converted):
                found.append(Reading(template.quantity, shortest(converted), template.unit, template.channel))
                break
    return tuple(found)
