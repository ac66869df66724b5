"""Three collectors share the batches of one gateway; one stands still, everybody else is killed in turn."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from chain import Chain, Messnetz

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from servers import Influx1, Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

STOPPED_S = float(os.environ.get("MESSNETZ_STOPPED_S", "60"))
GROUP = "secret-of-the-collectors"
ODD = Path(__file__).parent.parent / "odd_collector.py"
POISON = 4
"""Number of the batch that a frail collector dies of."""
DEATHS, MOST_DEATHS = 3, 12
FRESH = 30
BUSY = {"spool": {"seal_interval_s": 0.5}, "uplink": {"confirm_timeout_s": 2.0}}


class Sharing(Chain):
    """The chain with three collectors on one shared subscription; `collector` is the first of them."""

    def __init__(self, directory: Path, mqtt_port: int, store: dict[str, object]) -> None:
        super().__init__(directory, mqtt_port, store, gateway=BUSY)
        self.others = [self._other(number) for number in (2, 3)]

    @property
    def collectors(self) -> list[Messnetz]:
        """All of them."""
        return [self.collector, *self.others]

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            for other in self.others:
                self._stack.enter_context(other)
        except BaseException:
            self._stack.close()
            raise
        return self

    def _other(self, number: int) -> Messnetz:
        directory = self.files.directory.parent / f"collector-{number}"
        return Messnetz(directory, "cloud", self.files.directory / f"collector-{number}.yaml")

    def _adjust_gateway(self) -> None:
        super()._adjust_gateway()
        group = self.files.directory / "group"
        group.touch(mode=0o600)
        group.write_text(GROUP)
        settings = yaml.safe_load(self.files.collector.read_text())
        settings |= {"shared": True, "group_file": group.name, "mqtt": settings["mqtt"] | {"keepalive_s": 5}}
        for number in (1, 2, 3):
            file = self.files.collector if number == 1 else self.files.directory / f"collector-{number}.yaml"
            file.write_text(yaml.safe_dump(settings | {"collector": f"demo-collector-{number}"}))

    def finish(self) -> None:
        """Let the agent settle everything, then stop all."""
        super().finish()
        for other in self.others:
            other.stop()

    def logs(self) -> str:
        """What agent and collectors said last."""
        return super().logs() + "\n".join(other.log() for other in self.others)


class Frail(Messnetz):
    """A collector that dies of one batch."""

    def _command(self) -> list[str]:
        return [sys.executable, str(ODD), str(POISON), "cloud", "run", str(self.file)]


class FrailSharing(Sharing):
    """Three collectors that die of the same batch, and are started again as systemd does."""

    def __init__(self, directory: Path, mqtt_port: int, store: dict[str, object]) -> None:
        super().__init__(directory, mqtt_port, store)
        self.deaths = 0
        self._is_over = threading.Event()
        self._nurse = threading.Thread(target=self._start_again, daemon=True)
        self.collector = Frail(directory / "collector", "cloud", self.files.collector)

    def __enter__(self) -> Self:
        super().__enter__()
        self._nurse.start()
        self._stack.callback(self.end_care)
        return self

    def _other(self, number: int) -> Messnetz:
        return Frail(
            self._directory / f"collector-{number}", "cloud", self.files.directory / f"collector-{number}.yaml"
        )

    def _start_again(self) -> None:
        while not self._is_over.wait(0.5):
            for dead in (each for each in self.collectors if not each.is_running):
                self.deaths += 1
                dead.start()

    def end_care(self) -> None:
        """Start nobody again."""
        self._is_over.set()
        self._nurse.join()


def test_a_batch_that_kills_whoever_reads_it_stops_nobody(
    tmp_path: Path, make_mosquitto: Callable[[], Mosquitto], make_influx1: Callable[[], Influx1]
) -> None:
    """It waits for its probe, and fresh data passes it by; a collector that can read it gets it in the end."""
    store: dict[str, object] = {"influx1": {"url": make_influx1().url, "database": "messnetz"}}
    with FrailSharing(tmp_path, make_mosquitto().port, store) as chain:
        chain.until(lambda _: chain.deaths >= DEATHS, f"{DEATHS} deaths")
        chain.let_confirm(FRESH)
        status = chain.status()
        assert chain.deaths <= MOST_DEATHS
        assert status["waiting_batches"] <= status["sealed_batches"] // 2
        chain.end_care()
        for number, collector in enumerate(chain.collectors, 1):
            collector.kill()
            sound = Messnetz(tmp_path / f"sound-{number}", "cloud", collector.file)
            chain._stack.enter_context(sound)
        chain.run("gateway", "resend", str(chain.files.gateway), "--from", "2020-01-01", "--to", "2099-01-01")
        chain.until(lambda now: now["sealed_batches"] - now["confirmed_batches"] <= 1, "catching up")
        chain.agent.stop()
        sealed, stored = chain.sealed(), chain.stored()
        assert sealed - stored == {}, "sealed and not stored"
        assert stored - sealed == {}, "stored twice, or never sealed"


def test_every_sealed_reading_survives_while_one_of_three_collectors_stands_still(
    tmp_path: Path, make_mosquitto: Callable[[], Mosquitto], make_influx1: Callable[[], Influx1]
) -> None:
    """SIGSTOP for a minute (MESSNETZ_STOPPED_S); the two others, broker, database and agent are killed meanwhile."""
    broker, database = make_mosquitto(), make_influx1()
    store: dict[str, object] = {"influx1": {"url": database.url, "database": "messnetz"}}
    with Sharing(tmp_path, broker.port, store) as chain:
        chain.let_confirm(3)
        still = chain.collectors[2]
        os.kill(still.pid, signal.SIGSTOP)
        resume_at_s = time.monotonic() + STOPPED_S
        try:
            for victim in (*chain.collectors[:2], broker, database, chain.agent):
                victim.kill()
                time.sleep(1.0)  # while it is away, the others go on
                victim.start()
                chain.let_confirm(2)
            time.sleep(max(0.0, resume_at_s - time.monotonic()))
        finally:
            os.kill(still.pid, signal.SIGCONT)
        chain.let_confirm(3)
        chain.until(lambda now: now["sealed_batches"] == now["confirmed_batches"], "catching up")
        chain.finish()
        sealed, stored = chain.sealed(), chain.stored()
        assert sealed - stored == {}, "sealed and not stored"
        assert stored - sealed == {}, "stored twice, or never sealed"
        account = chain.account()
        assert (account.unaccounted, account.duplicates, account.wrong, account.wrong_time) == (0, 0, 0, 0)
        assert GROUP not in chain.logs()
