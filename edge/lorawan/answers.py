"""What a device that asks how it is heard, or what time it is, is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from base.build_date import BUILT_AT_MS
from edge.lorawan import eu868, mac

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.lorawan.gwmp import Reception


def to(asked: Sequence[int], receptions: Sequence[Reception], unix_s: float) -> list[mac.Command]:
    """Answer MAC commands, by their CIDs; what is no question has no answer.

    `unix_s`: when the uplink came, by the machine's clock.
    """
    answers: list[mac.Command] = []
    for cid in asked:
        if cid == mac.LINK_CHECK:
            best = max(receptions, key=snr_db)
            floor_db = eu868.FLOOR_DB.get(best.rate.spreading_factor or 0, 0.0)
            answers.append(mac.link_check_answer(snr_db(best) - floor_db, len(receptions)))
        elif cid == mac.DEVICE_TIME and (ended_s := _ended_at(receptions, unix_s)) is not None:
            answers.append(mac.device_time_answer(ended_s))
    return answers


def snr_db(reception: Reception) -> float:
    """Return how well a frame was heard; where the concentrator does not say, as badly as can be."""
    return -100.0 if reception.snr_db is None else reception.snr_db


def _ended_at(receptions: Sequence[Reception], unix_s: float) -> float | None:
    """Return when an uplink ended (Unix, seconds); None where no clock at hand can be right."""
    for reception in receptions:
        if reception.gps_s is not None:
            return reception.gps_s + mac.GPS_EPOCH_S - mac.LEAP_SECONDS
    return unix_s if unix_s * 1000 >= BUILT_AT_MS else None
