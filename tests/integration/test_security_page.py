"""The broker as SECURITY.md has it: its certificates, its configuration and its access list, with a real mosquitto."""

from __future__ import annotations

import queue
import re
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
from conftest import ROOT

from base.broker import MqttConfig, TlsConfig
from base.mqtt import Connection, Handlers

from servers import HOST, Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.slow

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
PATIENCE_S = 30.0
LAST, END = "last", "end"
ROLES = ("gw-a", "gw-b", "collector-1", "city-it")
KINDS = ("batch", "status", "reply", "confirm", "command")


def may_write(role: str) -> set[str]:
    """By the page: what is everybody's own, and what a role has beside it."""
    own = {f"{role}/{kind}" for kind in ("batch", "status", "reply")}
    kind = {"collector-1": "confirm", "city-it": "command"}.get(role)
    return own | ({f"{owner}/{kind}" for owner in ROLES} if kind else set())


def may_read(role: str) -> set[str]:
    """By the page, as above."""
    own = {f"{role}/{kind}" for kind in ("confirm", "command")}
    kinds = {"collector-1": ("batch", "status"), "city-it": ("reply", "status")}.get(role, ())
    return own | {f"{owner}/{kind}" for owner in ROLES for kind in kinds}


def block(name: str) -> str:
    """A file that the page shows."""
    found = re.search(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"SECURITY.md shows no {name}"
    return found[1]


class Town:
    """A broker with the page's files, and certificates that were made as the page says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "new-certificate").write_text(block("new-certificate"), encoding="utf-8")
        authority = re.search(r"^    (openssl req -x509(?:.*\\\n)*.*)$", PAGE, re.MULTILINE)
        assert authority, "SECURITY.md makes no authority"
        self._shell(authority[1])
        for role in ROLES:
            self._shell(f"sh new-certificate {role}")
        self._shell("sh new-certificate broker localhost")
        (directory / "messnetz.acl").write_text(block("messnetz.acl"), encoding="utf-8")
        lines = [line for line in block("mosquitto.conf").splitlines() if not line.startswith("listener ")]
        for place in ("/etc/mosquitto/certs", "/etc/mosquitto"):
            lines = [line.replace(place, str(directory)) for line in lines]
        self.broker = Mosquitto(directory / "broker", settings=lines)

    def _shell(self, command: str) -> None:
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.directory, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr

    def mqtt(self, role: str) -> MqttConfig:
        """How a role reaches the broker."""
        ca, certificate, key = (str(self.directory / name) for name in ("ca.pem", f"{role}.pem", f"{role}.key"))
        return MqttConfig("localhost", self.broker.port, tls=TlsConfig(ca, certificate, key))


class Client:
    """A connection under a role's certificate, with everything subscribed that there is."""

    def __init__(self, town: Town, role: str) -> None:
        self.kept: set[tuple[str, str]] = set()
        """Messages that were taken from the queue already."""
        self._heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        connected: queue.Queue[None] = queue.Queue()
        self._connection = Connection(
            town.mqtt(role),
            client_id="whatever-it-says",
            handlers=Handlers(
                lambda: connected.put(None),
                lambda _reason: None,
                lambda topic, payload, _retained: self._heard.put((topic, payload)),
            ),
            subscriptions=["messnetz/#"],
        )
        self._connection.start()
        connected.get(timeout=PATIENCE_S)

    def publish(self, topic: str, payload: str) -> None:
        """Hand a message to the broker."""
        assert self._connection.publish(f"messnetz/{topic}", payload.encode())

    def next(self) -> tuple[str, str]:
        """Topic, without the prefix, and payload of the next message."""
        topic, payload = self._heard.get(timeout=PATIENCE_S)
        return topic.removeprefix("messnetz/"), payload.decode()

    def stop(self) -> None:
        """Disconnect."""
        self._connection.stop()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One for all tests of this module."""
    made = Town(tmp_path_factory.mktemp("town"))
    with made.broker:
        yield made


def say_everything(clients: dict[str, Client]) -> None:
    """Let everybody write every topic there is; returns when the broker has taken all of it."""
    for role, client in clients.items():
        for owner in ROLES:
            for kind in KINDS:
                client.publish(f"{owner}/{kind}", role)
        client.publish(f"{role}/batch", LAST)
    waiting = set(ROLES)
    while waiting:
        topic, payload = clients["collector-1"].next()
        clients["collector-1"].kept.add((topic, payload))
        waiting -= {topic.partition("/")[0]} if payload == LAST else set()


def heard_by(clients: dict[str, Client], role: str) -> set[tuple[str, str]]:
    """What a role has heard of whom. It ends with something that the role may read: a broker keeps the order."""
    sender, topic = ("gw-a", "gw-a/batch") if role == "collector-1" else ("city-it", f"{role}/command")
    clients[sender].publish(topic, END)
    heard = set(clients[role].kept)
    while (topic, END) not in heard:
        heard.add(clients[role].next())
    return {(at, said) for at, said in heard if said not in (LAST, END)}


def test_everybody_hears_what_is_theirs_and_nothing_else(town: Town) -> None:
    """Whatever they subscribe to, and whoever sends it; a collector its own probe too."""
    clients = {role: Client(town, role) for role in ROLES}
    try:
        say_everything(clients)
        for role in ROLES:
            expected = {(topic, writer) for writer in ROLES for topic in may_read(role) & may_write(writer)}
            assert heard_by(clients, role) == expected, role
        assert ("collector-1/batch", "collector-1") in clients["collector-1"].kept
    finally:
        for client in clients.values():
            client.stop()


def test_nobody_connects_without_a_certificate(town: Town) -> None:
    """Not even to listen."""
    context = ssl.create_default_context(cafile=str(town.directory / "ca.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # with 1.3 the refusal comes with the first read
    with socket.create_connection((HOST, town.broker.port), PATIENCE_S) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")
