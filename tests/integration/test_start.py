"""What an agent's start gives to whoever stands beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chain import Chain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import Mosquitto

HOUR_S = 3600


@pytest.mark.slow
def test_the_first_values_are_confirmed_long_before_the_first_seal_is_due(
    tmp_path: Path, make_mosquitto: Callable[..., Mosquitto]
) -> None:
    """With an hour between seals; what comes after them waits for it."""
    settings = {"spool": {"seal_interval_s": HOUR_S, "seal_readings": 5000}}
    store = {"embedded": {"path": "store.sqlite"}}
    with Chain(tmp_path, make_mosquitto().port, store, settings) as chain:
        chain.until(lambda now: now["confirmed_batches"] == 1, "the first batch confirmed")
        confirmed = chain.status()
        chain.until(lambda now: now["pending_readings"] > confirmed["pending_readings"], "more readings")
        assert chain.status()["sealed_batches"] == 1
        chain.finish()
