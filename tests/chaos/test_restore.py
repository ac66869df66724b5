"""The database is restored to its state of earlier; `messnetz gateway resend` makes it whole again."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from chain import Chain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import Influx1, Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BUSY = {"spool": {"seal_interval_s": 0.5}}


def test_a_restored_influxdb_is_made_whole(
    tmp_path: Path, make_mosquitto: Callable[[], Mosquitto], make_influx1: Callable[[], Influx1]
) -> None:
    """Its files are copied while it is stopped, and put back over a killed one that had gone on."""
    broker, database = make_mosquitto(), make_influx1()
    backup = tmp_path / "backup"
    parts = ("data", "meta", "wal")

    def copy(source: Path, target: Path) -> None:
        for part in parts:
            shutil.rmtree(target / part, ignore_errors=True)
            shutil.copytree(source / part, target / part)

    def back_up() -> None:
        database.stop()
        copy(database.directory, backup)
        database.start()

    def restore() -> None:
        database.kill()
        copy(backup, database.directory)
        database.start()

    store = {"influx1": {"url": database.url, "database": "messnetz"}}
    with Chain(tmp_path, broker.port, store, gateway=BUSY) as chain:
        _lose_and_make_whole(chain, back_up, restore)


def test_a_restored_embedded_store_is_made_whole(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Its file is copied and put back while the collector is stopped."""
    file, backup = tmp_path / "store.sqlite", tmp_path / "backup.sqlite"
    chain = Chain(tmp_path, mosquitto.port, {"embedded": {"path": str(file)}}, gateway=BUSY)

    def back_up() -> None:
        chain.collector.stop()
        shutil.copy(file, backup)
        chain.collector.start()

    def restore() -> None:
        for path in tmp_path.glob("store.sqlite*"):
            path.unlink()
        shutil.copy(backup, file)

    with chain:
        _lose_and_make_whole(chain, back_up, restore)


def _lose_and_make_whole(chain: Chain, back_up: Callable[[], None], restore: Callable[[], None]) -> None:
    chain.let_confirm(3)
    back_up()
    at_backup = datetime.now(UTC)
    chain.let_confirm(6)
    before = chain.stored()
    chain.collector.kill()
    restore()
    chain.collector.start()
    chain.until(lambda now: bool(now["sealed_batches"]), "an agent that answers")
    assert before - chain.stored(), "a restored database that lacks nothing proves nothing"
    since = (at_backup - timedelta(seconds=10)).strftime("%Y-%m-%dT%H:%M:%S")
    until = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
    said = chain.run("gateway", "resend", str(chain.files.gateway), "--from", since, "--to", until)
    assert "are sent again" in said
    chain.let_confirm(3)
    chain.until(lambda now: now["sealed_batches"] == now["confirmed_batches"], "sending again")
    chain.finish()
    sealed, stored = chain.sealed(), chain.stored()
    assert sealed - stored == {}, "missing after resend"
    assert stored - sealed == {}, "stored twice, or never sealed"
    assert max(stored.values()) == 1
    account = chain.account()
    assert (account.lost, account.duplicates, account.wrong, account.wrong_time) == (0, 0, 0, 0)
