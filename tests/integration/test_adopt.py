"""A device that nobody registered: its readings wait whole, and are adopted to the last one, on the real way."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
import yaml

from cloud import registry_file
from simulator.account import Stored
from simulator.town import DEVICES

from chain import Chain, Known

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import Influx1, Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STRANGER = DEVICES[0].id


class Forgetful(Chain):
    """The chain with a first registry in which one device was forgotten."""

    def run(self, *command: str) -> str:
        """Run a command of ours to its end; returns its output."""
        is_first = command[:2] == ("town", "registry") and not self.files.registry.exists()
        said = super().run(*command)
        if is_first:
            file = registry_file.load(self.files.registry)
            entries = [entry for entry in file.entries if entry.device != STRANGER]
            assert len(entries) == len(file.entries) - 1
            registry_file.write(msgspec.structs.replace(file, entries=entries), self.files.registry)
        return said

    def register(self) -> None:
        """Put the device's first day into the town, build the registry, and let the collector know."""
        yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()  # also where a test meets midnight
        content = yaml.safe_load(self.files.gateway.read_text())
        for bus in content["buses"]:
            for device in bus["devices"]:
                if device["id"] == STRANGER:
                    device["since"] = yesterday
        self.files.gateway.write_text(yaml.safe_dump(content))
        self.run("town", "registry", str(self.files.directory), "--output", str(self.files.registry))
        self.collector.stop()
        self.collector.start()

    def unregistered(self) -> Counter[Known]:
        """Every reading that has no place."""
        lines = self.run("cloud", "export", str(self.files.collector), "--json", "--measurement", "unregistered")
        readings = [msgspec.json.decode(line, type=Stored) for line in lines.splitlines()]
        return Counter(Known(r.device, r.quantity, r.channel, r.time_ms, r.value, r.flags) for r in readings)


def test_a_forgotten_device_is_adopted_to_the_last_reading(
    tmp_path: Path, mosquitto: Mosquitto, make_influx1: Callable[[], Influx1]
) -> None:
    """Through agent, mosquitto, collector and InfluxDB: sealed equals stored, reading by reading, at every step."""
    database = make_influx1()
    store = {"influx1": {"url": database.url, "database": "messnetz"}}
    with Forgetful(tmp_path, mosquitto.port, store) as chain:
        chain.let_confirm(3)
        chain.register()
        chain.let_confirm(3)
        waiting = chain.unregistered()
        assert waiting
        assert {reading.device for reading in waiting} == {STRANGER}
        assert max(waiting.values()) == 1

        table = chain.run("cloud", "adopt", str(chain.files.collector), "--yes")
        assert f"{waiting.total()} readings adopted or in their place already, 0 left" in table

        chain.let_confirm(2)  # while it goes on
        chain.finish()
        sealed, stored = chain.sealed(), chain.stored()
        assert chain.unregistered() == {}
        assert stored == sealed
        later = {reading.time_ms for reading in stored if reading.device == STRANGER} - {r.time_ms for r in waiting}
        assert later, "what came after the device was registered went to its place by itself"
        assert waiting <= stored
        account = chain.account()
        assert (account.duplicates, account.wrong, account.wrong_time, account.lost) == (0, 0, 0, 0)
        assert "Nothing is unregistered." in chain.run("cloud", "adopt", str(chain.files.collector), "--yes")
