"""Late, old and forged confirms, on the real parts: nothing unstored is ever let go."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from simulator.town_files import GATEWAY
from wire import confirm as wire_confirm
from wire.confirm import Confirm

from chain import Chain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from servers import Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECURITY = Path(__file__).parents[2] / "SECURITY.md"
COLLECTOR, OTHER = "collector-1", "other-gw"
EVER = 2**62
FOREIGN = "f" * 16
IN_FLIGHT = 2
STANDING = {"spool": {"seal_interval_s": 0.5}, "uplink": {"window": IN_FLIGHT, "confirm_timeout_s": 600.0}}
"""Two batches are handed over and wait; all others are not."""
HEARD_S = 20.0
DELIVERS = "the subscription delivers"
NOT_AUTHORIZED = 135


class Guarded(Chain):
    """The chain on a broker that knows its users."""

    def __init__(
        self, directory: Path, mqtt_port: int, passwords: Path, gateway: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(directory, mqtt_port, {"embedded": {"path": str(directory / "store.sqlite")}}, gateway)
        self._passwords = passwords

    def _adjust_gateway(self) -> None:
        super()._adjust_gateway()
        for file, user in ((self.files.gateway, GATEWAY), (self.files.collector, COLLECTOR)):
            content = yaml.safe_load(file.read_text())
            content["mqtt"] |= {"user": user, "password_file": str(self._passwords / user)}
            if file == self.files.collector:
                content["collector"] = user
            file.write_text(yaml.safe_dump(content))


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    """A directory with a password for each user, and mosquitto's file of them in `all`."""
    directory = tmp_path / "passwords"
    directory.mkdir(mode=0o700)
    users = (GATEWAY, OTHER, COLLECTOR)
    for user in users:
        (directory / user).touch(mode=0o600)
        (directory / user).write_text(f"of {user}")
    (directory / "all").write_text("".join(f"{user}:of {user}\n" for user in users))
    subprocess.run(["mosquitto_passwd", "-U", str(directory / "all")], check=True, timeout=60)
    return directory


@pytest.fixture
def guarded(make_mosquitto: Callable[..., Mosquitto], passwords: Path, tmp_path: Path) -> Mosquitto:
    """A mosquitto with users and the access list that the documentation ships."""
    shown = re.search(
        r"^```\w+ messnetz.acl\n(.*?)^```$", SECURITY.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert shown, "SECURITY.md shows no access list"
    (tmp_path / "acl").write_text(shown[1], encoding="utf-8")
    return make_mosquitto(
        settings=[
            "allow_anonymous false",
            f"password_file {passwords / 'all'}",
            f"acl_file {tmp_path / 'acl'}",
            "use_username_as_clientid true",
        ]
    )


class Somebody:
    """A plain MQTT 5 client that hears what the broker makes of its messages."""

    def __init__(self, client: paho.Client) -> None:
        self._client = client
        self._answers: dict[int, int] = {}
        self._changed = threading.Condition()
        self.heard: list[str] = []
        """Topics of what came."""
        client.on_publish = self._answered
        client.on_message = self._take

    def _answered(
        self, _client: paho.Client, _userdata: object, mid: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        with self._changed:
            self._answers[mid] = reason.value
            self._changed.notify_all()

    def _take(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.heard.append(message.topic)
            self._changed.notify_all()

    def publish(self, topic: str, payload: bytes) -> int:
        """Publish, and return the reason code of the broker's answer."""
        info = self._client.publish(topic, payload, qos=1)
        with self._changed:
            assert self._changed.wait_for(lambda: info.mid in self._answers, HEARD_S), "no PUBACK"
            return self._answers[info.mid]

    def subscribe(self, topic: str) -> None:
        """Subscribe. The SUBACK tells nothing: mosquitto grants all, and holds back what the list does not allow."""
        done = threading.Event()
        self._client.on_subscribe = lambda *_: done.set()
        self._client.subscribe(topic, qos=1)
        assert done.wait(HEARD_S), "no SUBACK"

    def until_heard(self, messages: int) -> None:
        """Wait until so many messages have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.heard) >= messages, HEARD_S), self.heard


@contextmanager
def _as(port: int, user: str | None, passwords: Path | None = None) -> Iterator[Somebody]:
    client = paho.Client(CallbackAPIVersion.VERSION2, user or "stranger", protocol=MQTTProtocolVersion.MQTTv5)
    if user and passwords:
        client.username_pw_set(user, (passwords / user).read_text())
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert connected.wait(HEARD_S)
    try:
        yield Somebody(client)
    finally:
        client.disconnect()
        client.loop_stop()


def _word(stream: str, first: int, last: int) -> bytes:
    return wire_confirm.encode(Confirm(stream, 0, [(first, last)]))


def _stream(chain: Chain) -> str:
    return str(chain.status()["stream"])


def _standing(chain: Chain, batches: int) -> dict[str, int]:
    """Let more batches be sealed than may be in flight; returns the status."""
    chain.let_seal(batches)
    chain.until(lambda now: now["in_flight_batches"] == IN_FLIGHT, "a full window")
    return chain.status()


def _say_in_vain(chain: Chain, somebody: Somebody, *words: bytes) -> None:
    """Publish words on the gateway's topic, and see that none of them lets anything go."""
    before = chain.status()["confirmed_batches"]
    for word in words:
        somebody.publish(f"messnetz/{GATEWAY}/confirm", word)
    chain.let_seal(2)  # whatever they settled would be marked with it
    assert chain.status()["confirmed_batches"] == before


def _assert_whole(chain: Chain) -> None:
    """Let the collector come back: everything that was ever sealed is stored, once."""
    heard = chain.collector.log().count(DELIVERS)
    chain.collector.start()
    deadline_s = time.monotonic() + HEARD_S
    while chain.collector.log().count(DELIVERS) == heard:  # what is sent before, nobody hears
        assert time.monotonic() < deadline_s, chain.logs()
        time.sleep(0.1)
    chain.agent.kill()  # and with it the time-out of ten minutes
    chain.agent.start()
    chain.until(lambda now: now["sealed_batches"] == now["confirmed_batches"], "everything confirmed")
    chain.finish()
    sealed, stored = chain.sealed(), chain.stored()
    assert sealed - stored == {}, "let go and not stored"
    assert max(stored.values()) == 1


def test_a_late_or_old_confirm_lets_nothing_go(tmp_path: Path, guarded: Mosquitto, passwords: Path) -> None:
    """From a collector itself: once more what it said; and what belongs to a stream that is none of a batch's."""
    with Guarded(tmp_path, guarded.port, passwords, STANDING) as chain:
        chain.let_confirm(2)
        chain.collector.stop()
        confirmed = _standing(chain, 4)["confirmed_batches"]
        first = _stream(chain)
        with _as(guarded.port, COLLECTOR, passwords) as collector:
            _say_in_vain(chain, collector, _word(first, 1, confirmed), _word(first, 1, confirmed))
            chain.agent.kill()
            sealed = chain.status()["sealed_batches"]
            chain.agent.start()
            _standing(chain, 3)
            _say_in_vain(chain, collector, _word(_stream(chain), 1, sealed), _word(first, sealed + 1, EVER))
        _assert_whole(chain)


def test_a_confirm_for_a_spool_that_was_lost_lets_nothing_of_the_new_one_go(
    tmp_path: Path, guarded: Mosquitto, passwords: Path
) -> None:
    """The new spool begins at number 1 again; the word for the old number 1 comes late."""
    with Guarded(tmp_path, guarded.port, passwords, STANDING) as chain:
        chain.let_confirm(2)
        chain.collector.stop()
        old = _stream(chain)
        chain.agent.kill()
        for file in chain.files.directory.glob("spool.sqlite*"):
            file.unlink()
        chain.agent.start()
        _standing(chain, 3)
        with _as(guarded.port, COLLECTOR, passwords) as collector:
            _say_in_vain(chain, collector, _word(old, 1, EVER))
        _assert_whole(chain)


def test_without_an_access_list_a_forger_reaches_only_what_was_sent(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Whoever may write the topic can name a stream and numbers; what was not sent under them stays."""
    store = {"embedded": {"path": str(tmp_path / "store.sqlite")}}
    with Chain(tmp_path, mosquitto.port, store, STANDING) as chain:
        chain.let_confirm(2)
        chain.collector.stop()
        confirmed = _standing(chain, 4)["confirmed_batches"]
        with _as(mosquitto.port, None) as stranger:
            beyond = _word(_stream(chain), confirmed + IN_FLIGHT + 1, EVER)
            _say_in_vain(chain, stranger, _word(FOREIGN, 1, EVER), beyond)
        _assert_whole(chain)


def test_a_forged_confirm_is_refused_by_the_broker(tmp_path: Path, guarded: Mosquitto, passwords: Path) -> None:
    """Another gateway names the very batches that are in flight: the access list does not let it speak."""
    with Guarded(tmp_path, guarded.port, passwords, STANDING) as chain:
        chain.let_confirm(2)
        chain.collector.stop()
        before = _standing(chain, 4)["confirmed_batches"]
        with _as(guarded.port, OTHER, passwords) as other:
            answer = other.publish(f"messnetz/{GATEWAY}/confirm", _word(_stream(chain), 1, EVER))
            assert answer == NOT_AUTHORIZED
            chain.let_seal(2)
        assert chain.status()["confirmed_batches"] == before
        _assert_whole(chain)
