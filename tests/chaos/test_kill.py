"""kill -9 of every part in turn, while it runs: every sealed reading is in the database exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulator import town

from chain import Chain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import Influx1, Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_every_sealed_reading_survives_the_death_of_every_part(
    tmp_path: Path, make_mosquitto: Callable[[], Mosquitto], make_influx1: Callable[[], Influx1]
) -> None:
    """Collector, broker, database and agent are killed one after the other; then reading by reading is counted."""
    broker, database = make_mosquitto(), make_influx1()
    store = {"influx1": {"url": database.url, "database": "messnetz"}}
    with Chain(tmp_path, broker.port, store) as chain:
        chain.let_confirm(1)
        for victim in (chain.collector, broker):
            victim.kill()
            chain.let_seal(2)
            victim.start()
            chain.let_confirm(2)
        database.kill()  # and then the collector, with everything in its hands that it could not write
        chain.let_seal(3)
        chain.collector.kill()
        database.start()
        chain.collector.start()
        chain.let_confirm(3)
        chain.agent.kill()
        polls_before = len(chain.journal.polls)
        chain.agent.start()
        chain.let_seal(2)
        chain.finish()
        sealed, stored = chain.sealed(), chain.stored()
        assert sealed - stored == {}, "sealed and not stored"
        assert stored - sealed == {}, "stored twice, or never sealed"
        assert max(stored.values()) == 1
        account = chain.account()
    assert (account.duplicates, account.wrong) == (0, 0)
    assert account.stored == sealed.total()
    # What the agent held unsealed when it was killed is all that may be missing: one seal interval of polls.
    readings = max(len(model.addresses) for model in town.MODELS.values())
    assert account.lost <= 2 * len(town.DEVICES) * readings
    assert polls_before > 0
