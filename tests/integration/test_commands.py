"""Commands the whole way: `messnetz cloud command`, a real broker, the agent as a process, simulated meters."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from base.broker import MqttConfig
from base.mqtt import Connection, Handlers
from simulator.town import DEVICES
from wire import command as wire_command
from wire import signing
from wire.command import Command, Read
from wire.readings import Flag

from chain import GATEWAY, MESSNETZ, Chain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DEVICE = DEVICES[0].id
TIMEOUT_S = 40.0


class City:
    """City IT: its files, and what it runs."""

    def __init__(self, directory: Path, port: int) -> None:
        directory.mkdir()
        self.port = port
        self._directory = directory
        self.file = directory / "command.yaml"
        self.file.write_text(
            f"mqtt: {{host: 127.0.0.1, port: {port}}}\nkey: command.key\naudit: {directory}/audit.jsonl\n"
        )
        done = self._run("key", "new", str(directory / "command.key"))
        self.public = (directory / "command.key.pub").read_text().strip()
        assert self.public in done.stdout, done.stderr

    @property
    def private(self) -> bytes:
        """Its private key."""
        return signing.read_key((self._directory / "command.key").read_text().strip())

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*MESSNETZ, "cloud", *words], capture_output=True, text=True, check=False, timeout=90)

    def command(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Send a command; returns the exit code and what was heard last."""
        done = self._run("command", str(self.file), GATEWAY, *words, "--json", "--timeout", str(TIMEOUT_S))
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    def audit(self) -> list[dict[str, Any]]:
        """What it wrote down."""
        return [json.loads(line) for line in (self._directory / "audit.jsonl").read_text().splitlines()]


def _publish(city: City, payload: bytes, *, retain: bool) -> None:
    """Publish past the command line, as somebody might who can write the topic."""
    connected = threading.Event()
    mqtt = Connection(
        MqttConfig("127.0.0.1", port=city.port), "somebody", Handlers(connected.set, lambda _: None, lambda *_: None)
    )
    mqtt.start()
    assert connected.wait(20)
    assert mqtt.publish(f"messnetz/{GATEWAY}/command", payload, retain=retain)
    mqtt.stop()


def _gateway_audit(chain: Chain, wanted: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """Wait until the agent has written down what is wanted."""
    file = chain.files.directory / "commands-audit.jsonl"
    deadline_s = time.monotonic() + TIMEOUT_S
    while True:
        entries = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        if wanted(entries):
            return entries
        assert time.monotonic() < deadline_s, f"{entries}\n{chain.logs()}"
        time.sleep(0.1)


def test_commands_reach_the_gateway_and_nothing_else_does(
    tmp_path: Path, make_mosquitto: Callable[..., Mosquitto]
) -> None:
    """Read and maintenance are carried out; a stranger's, a repeated and a retained one are not, over a restart too."""
    broker = make_mosquitto()
    city = City(tmp_path / "city", broker.port)
    store = {"embedded": {"path": str(tmp_path / "store.sqlite")}}
    with Chain(tmp_path, broker.port, store, gateway={"command_key": city.public}) as chain:
        chain.let_confirm(1)

        code, heard = city.command("read", DEVICE)
        assert (code, heard["state"]) == (0, "done"), chain.logs()
        assert {reading["quantity"] for reading in heard["result"]["readings"]} > {"voltage"}

        code, heard = city.command("read", "no-such-device")
        assert (code, heard["text"]) == (1, f"gateway {GATEWAY} has no device 'no-such-device'")

        code, heard = city.command("configure", DEVICE, "baud_rate", "9600")
        assert (code, "cannot configure a device" in heard["text"]) == (1, True)

        assert city.command("maintenance", DEVICE, "--for", "1h")[0] == 0
        chain.agent.kill()
        chain.agent.start()
        chain.let_confirm(2)
        flagged = {reading.device for reading in chain.exported() if reading.flags & Flag.MAINTENANCE}
        assert flagged == {DEVICE}

        now_ms = time.time_ns() // 1_000_000
        command = Command(
            gateway=GATEWAY,
            id=wire_command.new_id(),
            issued_at_ms=now_ms,
            expires_at_ms=now_ms + 3_600_000,
            action=Read(device=DEVICE),
        )
        message = wire_command.sign(command, city.private)
        _publish(city, wire_command.sign(command, signing.new_key()), retain=False)
        _publish(city, message, retain=False)
        _gateway_audit(chain, lambda entries: (command.id, "done") in _ends(entries))
        chain.agent.kill()
        chain.agent.start()
        _publish(city, message, retain=False)
        entries = _gateway_audit(chain, lambda entries: (command.id, "refused") in _ends(entries))
        assert entries[-1]["text"] == "received before (done); a command is carried out once"

        chain.agent.stop()
        _publish(city, wire_command.sign(_renewed(command), city.private), retain=True)
        code, heard = city.command("read", DEVICE)
        assert (code, heard["state"]) == (3, "away")
        assert "commands are not kept" in heard["text"]
        chain.agent.start()
        entries = _gateway_audit(chain, lambda entries: "retained" in entries[-1]["text"])
        assert [state for each, state in _ends(entries) if each == entries[-1]["id"]] == ["refused"]
        chain.finish()

    assert {entry["state"] for entry in city.audit()} >= {"asked", "sent", "accepted", "done", "failed", "away"}
    assert all(entry["gateway"] == GATEWAY for entry in city.audit())


def _renewed(command: Command) -> Command:
    return Command(
        gateway=command.gateway,
        id=wire_command.new_id(),
        issued_at_ms=command.issued_at_ms,
        expires_at_ms=command.expires_at_ms,
        action=command.action,
    )


def _ends(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(entry["id"], entry["state"]) for entry in entries]
