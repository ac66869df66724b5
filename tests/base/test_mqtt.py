"""The MQTT connection, against a real broker where it can be, and a scripted one where it must."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Literal, NamedTuple

import paho.mqtt.client as paho
import pytest
from lacking import lacking

from base import mqtt
from base.broker import MqttConfig, TlsConfig, read_credentials
from base.errors import ConfigError
from base.mqtt import Connection, Handlers, Will

from mqtt_doubles import PUBLISH, SUBSCRIBE, Client, FakeBroker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from servers import Mosquitto

HOST = "127.0.0.1"
PATIENCE_S = 20.0
ROOT = Path(__file__).parents[2]


class Heard(NamedTuple):
    """What a handler was told."""

    what: Literal["connected", "lost", "message"]
    topic: str = ""
    payload: bytes = b""
    retained: bool = False


class Ear:
    """A connection with its handlers' words in a queue."""

    def __init__(
        self,
        config: MqttConfig,
        *,
        subscriptions: Sequence[str] = (),
        will: Will | None = None,
        name: str = "",
        chance: Callable[[], float] = lambda: 0.1,
    ) -> None:
        self.heard: Queue[Heard] = Queue()
        handlers = Handlers(
            connected=lambda: self.heard.put(Heard("connected")),
            disconnected=lambda reason: self.heard.put(Heard("lost", reason)),
            message=self._message,
        )
        name = name or f"ear-{uuid.uuid4().hex[:8]}"
        self.connection = Connection(config, name, handlers, subscriptions=subscriptions, will=will, chance=chance)

    def _message(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - Handlers' signature
        if payload == b"stumble":
            raise RuntimeError("a fault in a handler")
        self.heard.put(Heard("message", topic, payload, retained))

    def next(self) -> Heard:
        """What is heard next."""
        return self.heard.get(timeout=PATIENCE_S)


@pytest.fixture
def listen() -> Iterator[Callable[..., Ear]]:
    """Start connections; all are stopped at the end."""
    ears: list[Ear] = []

    def start(port: int, protocol: Literal["auto", "5", "3.1.1"] = "auto", **rest: object) -> Ear:
        config = rest.pop("config", None) or MqttConfig(HOST, port, protocol=protocol)
        ear = Ear(config, **rest)  # type: ignore[arg-type]
        ears.append(ear)
        ear.connection.start()
        return ear

    yield start
    for ear in ears:
        ear.connection.stop()


@pytest.fixture
def topic() -> str:
    """A topic that no other test uses."""
    return f"test/{uuid.uuid4().hex}"


# --- against real mosquitto ---


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "logged"), [("auto", "p5"), ("5", "p5"), ("3.1.1", "p2")])
def test_it_speaks_mqtt_5_unless_told_otherwise(
    protocol: Literal["auto", "5", "3.1.1"], logged: str, mosquitto: Mosquitto, listen: Callable[..., Ear]
) -> None:
    """As the broker's own log says (p2 is MQTT 3.1.1)."""
    name = f"v{uuid.uuid4().hex[:8]}"
    ear = listen(mosquitto.port, protocol, name=name)
    assert ear.next() == Heard("connected")
    (line,) = [line for line in mosquitto.log().splitlines() if f"as {name} (" in line]
    assert f"({logged}," in line


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("payload", [b"", b"text", bytes(range(256)), b"x" * 200_000])
def test_a_message_arrives_as_it_was_sent(
    protocol: str, payload: bytes, mosquitto: Mosquitto, listen: Callable[..., Ear], topic: str
) -> None:
    """To the subscriber that was told `connected`: from then on nothing is missed."""
    ear = listen(mosquitto.port, protocol, subscriptions=[topic])
    assert ear.next() == Heard("connected")
    assert ear.connection.publish(topic, payload)
    assert ear.next() == Heard("message", topic, payload)


@pytest.mark.slow
def test_a_retained_message_is_known_as_one(mosquitto: Mosquitto, listen: Callable[..., Ear], topic: str) -> None:
    """A command that was retained is old."""
    ear = listen(mosquitto.port, subscriptions=[topic])
    assert ear.next() == Heard("connected")
    ear.connection.publish(topic, b"on", retain=True)
    assert ear.next() == Heard("message", topic, b"on", retained=False)
    late = listen(mosquitto.port, subscriptions=[topic])
    assert {late.next(), late.next()} == {Heard("connected"), Heard("message", topic, b"on", retained=True)}


@pytest.mark.slow
def test_many_messages_at_once_all_arrive_in_order(
    mosquitto: Mosquitto, listen: Callable[..., Ear], topic: str
) -> None:
    """The owner bounds what is in flight, not the client."""
    ear = listen(mosquitto.port, subscriptions=[topic])
    assert ear.next() == Heard("connected")
    assert all(ear.connection.publish(topic, b"%d" % number) for number in range(500))
    assert [ear.next().payload for _ in range(500)] == [b"%d" % number for number in range(500)]


KILLED = """
import sys, threading
from base.broker import MqttConfig
from base.mqtt import Connection, Handlers, Will
ready = threading.Event()
handlers = Handlers(ready.set, lambda reason: None, lambda topic, payload, retained: None)
connection = Connection(MqttConfig("127.0.0.1", int(sys.argv[1])), "killed", handlers, will=Will(sys.argv[2], b"gone"))
connection.start()
assert ready.wait(20)
print("ready", flush=True)
input()
connection.stop()
"""


@pytest.fixture
def process(mosquitto: Mosquitto, topic: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is connected with a will."""
    command = [sys.executable, "-c", KILLED, str(mosquitto.port), topic]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
        yield one
        one.kill()


@pytest.mark.slow
def test_the_will_of_a_killed_process_is_published_and_retained(
    process: subprocess.Popen[str], mosquitto: Mosquitto, listen: Callable[..., Ear], topic: str
) -> None:
    """To those who listen, and to those who come later."""
    ear = listen(mosquitto.port, subscriptions=[topic])
    assert ear.next() == Heard("connected")
    process.send_signal(signal.SIGKILL)
    assert ear.next() == Heard("message", topic, b"gone", retained=False)
    late = listen(mosquitto.port, subscriptions=[topic])
    assert {late.next(), late.next()} == {Heard("connected"), Heard("message", topic, b"gone", retained=True)}


@pytest.mark.slow
def test_the_will_of_a_stopped_process_stays_with_the_broker(
    process: subprocess.Popen[str], mosquitto: Mosquitto, listen: Callable[..., Ear], topic: str
) -> None:
    """`stop` says goodbye; what it wants to say last, the owner publishes itself."""
    ear = listen(mosquitto.port, subscriptions=[topic])
    assert ear.next() == Heard("connected")
    process.communicate("\n", timeout=PATIENCE_S)
    assert process.returncode == 0
    ear.connection.publish(topic, b"after")
    assert ear.next().payload == b"after"


@pytest.mark.slow
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_broker_that_comes_back_is_found_again(
    end: str, make_mosquitto: Callable[..., Mosquitto], listen: Callable[..., Ear], topic: str
) -> None:
    """With a fresh client and the same subscriptions; what was said in between is not kept here."""
    broker = make_mosquitto()
    ear = listen(broker.port, subscriptions=[topic])
    assert ear.next() == Heard("connected")
    getattr(broker, end)()
    assert ear.next().what == "lost"
    assert not ear.connection.is_connected
    assert not ear.connection.publish(topic, b"into the void")
    broker.start()
    assert ear.next() == Heard("connected")
    assert ear.connection.publish(topic, b"back")
    assert ear.next() == Heard("message", topic, b"back")


@pytest.mark.slow
def test_a_broker_that_starts_later_is_found(
    make_mosquitto: Callable[..., Mosquitto], listen: Callable[..., Ear]
) -> None:
    """The order in which machines boot is nobody's to choose."""
    broker = make_mosquitto()
    broker.stop()
    ear = listen(broker.port)
    assert not ear.connection.publish("x", b"")
    broker.start()
    assert ear.next() == Heard("connected")


@pytest.mark.slow
def test_a_fault_in_a_handler_does_not_end_the_connection(
    mosquitto: Mosquitto, listen: Callable[..., Ear], topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its trace, and the next message is heard."""
    ear = listen(mosquitto.port, subscriptions=[topic])
    assert ear.next() == Heard("connected")
    ear.connection.publish(topic, b"stumble")
    ear.connection.publish(topic, b"next")
    assert ear.next() == Heard("message", topic, b"next")
    (record,) = [record for record in caplog.records if record.exc_info]
    assert "internal error in a handler" in record.message


@pytest.mark.slow
def test_a_password_comes_from_its_file(
    make_mosquitto: Callable[..., Mosquitto], listen: Callable[..., Ear], tmp_path: Path
) -> None:
    """And a wrong one is refused, and tried again until it is right."""
    passwords = tmp_path / "passwords"
    passwords.write_text("gw-1:secret\n", encoding="utf-8")
    passwords.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, timeout=PATIENCE_S)
    broker = make_mosquitto(settings=[f"password_file {passwords}"])
    secret = tmp_path / "secret"
    secret.write_text("secret\n", encoding="utf-8")
    secret.chmod(0o600)
    config = MqttConfig(HOST, broker.port, user="gw-1", password_file=str(secret))
    assert listen(broker.port, config=config).next() == Heard("connected")

    secret.write_text("wrong", encoding="utf-8")
    with caplog_of("base.mqtt") as messages:
        listen(broker.port, config=config)
        assert "refused: Not authorized" in messages.get(timeout=PATIENCE_S)


# --- TLS ---


class Pki:
    """A CA of our own, and certificates that it signed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._openssl(
            "req", "-x509", *self._new_key("ca"), "-subj", "/CN=test ca", "-days", "2", "-out", self["ca.crt"]
        )
        self.sign("server", f"subjectAltName=IP:{HOST}")
        self.sign("gw-1", "extendedKeyUsage=clientAuth")

    def __getitem__(self, name: str) -> str:
        return str(self.directory / name)

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=PATIENCE_S)

    def _new_key(self, name: str) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self[f"{name}.key"]]

    def sign(self, name: str, extension: str) -> None:
        """Make a key and a certificate."""
        self._openssl("req", *self._new_key(name), "-subj", f"/CN={name}", "-out", self[f"{name}.csr"])
        Path(self[f"{name}.ext"]).write_text(extension + "\n", encoding="utf-8")
        ca = ["-CA", self["ca.crt"], "-CAkey", self["ca.key"], "-CAcreateserial", "-days", "2"]
        extras = ["-extfile", self[f"{name}.ext"], "-out", self[f"{name}.crt"]]
        self._openssl("x509", "-req", "-in", self[f"{name}.csr"], *ca, *extras)

    def tls(self, name: str = "gw-1") -> TlsConfig:
        """Settings of a client."""
        return TlsConfig(self["ca.crt"], self[f"{name}.crt"], self[f"{name}.key"])


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates for a broker and a gateway."""
    if shutil.which("openssl") is None:
        lacking("no openssl here: apt-get install openssl")
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def tls_broker(make_mosquitto: Callable[..., Mosquitto], pki: Pki) -> Mosquitto:
    """A broker that takes certificates of our CA only, and the CN as the user."""
    own = [f"cafile {pki['ca.crt']}", f"certfile {pki['server.crt']}", f"keyfile {pki['server.key']}"]
    return make_mosquitto(settings=[*own, "require_certificate true", "use_identity_as_username true"])


@pytest.mark.slow
def test_a_certificate_of_our_ca_opens_the_broker(tls_broker: Mosquitto, pki: Pki, listen: Callable[..., Ear]) -> None:
    """Both sides prove who they are."""
    ear = listen(0, config=MqttConfig(HOST, tls_broker.port, tls=pki.tls()), subscriptions=["x"])
    assert ear.next() == Heard("connected")
    assert ear.connection.publish("x", b"over TLS")
    assert ear.next() == Heard("message", "x", b"over TLS")
    assert "u'gw-1'" in tls_broker.log()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*SSLSocket")  # paho leaves the socket of a failed handshake to the collector
def test_a_broker_with_a_foreign_certificate_is_not_trusted(
    tls_broker: Mosquitto, pki: Pki, tmp_path: Path, listen: Callable[..., Ear]
) -> None:
    """It never hears a reading, and the log says why."""
    foreign = Pki(tmp_path)
    config = TlsConfig(foreign["ca.crt"], pki["gw-1.crt"], pki["gw-1.key"])
    with caplog_of("base.mqtt") as messages:
        ear = listen(0, config=MqttConfig(HOST, tls_broker.port, tls=config))
        assert "certificate verify failed" in messages.get(timeout=PATIENCE_S)
    assert ear.heard.empty()


def test_certificates_that_do_not_load_are_named(pki: Pki, tmp_path: Path) -> None:
    """Each by its own file, before anything is connected."""
    sound = pki.tls()
    broken = tmp_path / "broken.pem"
    broken.write_text("no PEM", encoding="utf-8")
    missing = str(tmp_path / "missing.pem")
    cases = [
        (TlsConfig(missing, sound.certificate, sound.key), "missing.pem:1:1: found no readable file"),
        (TlsConfig(sound.ca, missing, sound.key), "missing.pem:1:1: found no readable file"),
        (TlsConfig(sound.ca, sound.certificate, missing), "missing.pem:1:1: found no readable file"),
        (TlsConfig(str(broken), sound.certificate, sound.key), "broken.pem:1:1: found no certificates"),
        (TlsConfig(sound.ca, str(broken), sound.key), "broken.pem:1:1: found a certificate that does not load"),
        (TlsConfig(sound.ca, sound.certificate, pki["server.key"]), "gw-1.crt:1:1: found a certificate that does not"),
    ]
    for config, message in cases:
        with pytest.raises(ConfigError, match=message):
            Ear(MqttConfig(HOST, tls=config))


def test_tls_has_a_port_of_its_own() -> None:
    """Unless the file says otherwise."""
    tls = TlsConfig("a", "b", "c")
    assert MqttConfig("h").endpoint() == ("h", 1883)
    assert MqttConfig("h", tls=tls).endpoint() == ("h", 8883)
    assert MqttConfig("h", 1234, tls=tls).endpoint() == ("h", 1234)


# --- against a scripted broker ---


class caplog_of(logging.Handler):  # noqa: N801 - used as a function
    """The messages of a logger as they come, from whatever thread."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._logger = logging.getLogger(name)
        self._messages: Queue[str] = Queue()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self._messages.put(record.getMessage())

    def __enter__(self) -> Queue[str]:
        self._logger.addHandler(self)
        return self._messages

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)


def accept(client: Client) -> None:
    """Take the connection and keep it until the client goes."""
    client.accept()
    client.wait_until_gone()


def accept_and_drop(client: Client) -> None:
    """Take the connection, and hang up."""
    client.accept()


def hang_up(_: Client) -> None:
    """Hang up without an answer."""


def keep_silent(client: Client) -> None:
    """Never answer."""
    client.wait_until_gone()


def refuse(packet: bytes) -> Callable[[Client], None]:
    """Answer CONNECT with a refusal."""

    def script(client: Client) -> None:
        client.send(packet)

    return script


@pytest.mark.parametrize(
    "old_broker",
    [refuse(b"\x20\x02\x00\x01"), refuse(b"\x20\x03\x00\x84\x00"), hang_up],
    ids=["CONNACK 1 of MQTT 3.1.1", "CONNACK 0x84 of MQTT 5", "hangs up"],
)
def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1(
    old_broker: Callable[[Client], None], listen: Callable[..., Ear]
) -> None:
    """Whichever way it says so; and what it took is stayed with."""
    with FakeBroker([old_broker, accept_and_drop, accept]) as broker:
        ear = listen(broker.port)
        assert ear.next() == Heard("connected")
        assert ear.next().what == "lost"
        assert ear.next() == Heard("connected")
        assert [broker.levels.get(timeout=PATIENCE_S) for _ in range(3)] == [5, 4, 4]
        ear.connection.stop()


def test_a_version_that_was_asked_for_is_not_changed(listen: Callable[..., Ear]) -> None:
    """`protocol: 5` means it."""
    with FakeBroker([hang_up, hang_up, accept]) as broker:
        ear = listen(broker.port, "5")
        assert ear.next() == Heard("connected")
        assert [broker.levels.get(timeout=PATIENCE_S) for _ in range(3)] == [5, 5, 5]
        ear.connection.stop()


def test_a_refusal_for_another_reason_does_not_change_the_version(listen: Callable[..., Ear]) -> None:
    """A wrong password is wrong in every version."""
    not_authorized = refuse(b"\x20\x03\x00\x87\x00")
    with FakeBroker([not_authorized, not_authorized, accept]) as broker, caplog_of("base.mqtt") as messages:
        ear = listen(broker.port)
        assert ear.next() == Heard("connected")
        assert [broker.levels.get(timeout=PATIENCE_S) for _ in range(3)] == [5, 5, 5]
        assert "refused: Not authorized" in messages.get(timeout=PATIENCE_S)
        ear.connection.stop()


@pytest.mark.parametrize(("protocol", "code"), [("5", 0x87), ("3.1.1", 0x80)])
def test_a_refused_subscription_is_no_connection(protocol: str, code: int, listen: Callable[..., Ear]) -> None:
    """Its owner is told `connected` only once all of them stand; the log names the topic."""

    def refuse_topic(client: Client) -> None:
        client.accept()
        client.grant(code)
        client.wait_until_gone()

    def grant_topic(client: Client) -> None:
        client.accept()
        client.grant()
        client.wait_until_gone()

    with FakeBroker([refuse_topic, grant_topic]) as broker, caplog_of("base.mqtt") as messages:
        ear = listen(broker.port, protocol, subscriptions=["town/confirm"])
        assert "subscription refused: town/confirm" in messages.get(timeout=PATIENCE_S)
        assert ear.next() == Heard("connected")
        ear.connection.stop()


def test_a_subscription_that_is_not_answered_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be sent whose confirm would not be heard."""
    monkeypatch.setattr(mqtt, "CONNECT_TIMEOUT_S", 0.3)
    asked: Queue[bool] = Queue()

    def never_grant(client: Client) -> None:
        client.accept()
        client.read(SUBSCRIBE)
        asked.put(ear.connection.publish("x", b""))
        client.wait_until_gone()

    with FakeBroker([never_grant]) as broker:
        ear = Ear(MqttConfig(HOST, broker.port, protocol="5"), subscriptions=["x"])
        ear.connection.start()
        assert asked.get(timeout=PATIENCE_S) is False
        assert asked.get(timeout=PATIENCE_S) is False, "it comes again"
        ear.connection.stop()
        assert ear.heard.empty()


def test_a_broker_that_does_not_answer_is_left(listen: Callable[..., Ear], monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, for another try."""
    monkeypatch.setattr(mqtt, "CONNECT_TIMEOUT_S", 0.3)
    with FakeBroker([keep_silent, accept]) as broker:
        ear = listen(broker.port, "5")
        assert ear.next() == Heard("connected")
        ear.connection.stop()


def test_a_broker_that_stops_answering_is_noticed(listen: Callable[..., Ear]) -> None:
    """By the ping that stays unanswered: a cable that was pulled says no goodbye."""
    with FakeBroker([accept]) as broker:  # which answers no ping
        ear = listen(0, config=MqttConfig(HOST, broker.port, keepalive_s=1))
        assert ear.next() == Heard("connected")
        lost = ear.next()
        assert (lost.what, lost.topic) == ("lost", "connection lost: Keep alive timeout")
        ear.connection.stop()


def send(packet: bytes) -> Callable[[Client], None]:
    """Take the connection, and send it a packet."""

    def script(client: Client) -> None:
        client.accept()
        client.send(packet)
        client.wait_until_gone()

    return script


UNREADABLE = b"\x30\x01\x00"  # PUBLISH that ends within the length of its topic


@pytest.mark.parametrize("packet", [UNREADABLE, b"\xe0\x02\x77\x00", b"\x90\x00", b"\xf0\x00"])
def test_a_packet_that_cannot_be_read_costs_one_connection(packet: bytes, listen: Callable[..., Ear]) -> None:
    """It is made anew."""
    with FakeBroker([send(packet), accept]) as broker:
        ear = listen(broker.port)
        assert [ear.next().what for _ in range(3)] == ["connected", "lost", "connected"]
        ear.connection.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_network_thread_that_dies_is_noticed(listen: Callable[..., Ear], monkeypatch: pytest.MonkeyPatch) -> None:
    """As paho 2.1's does over a packet that it cannot read, without a word to anybody."""

    def die(_: object) -> None:
        raise struct.error("bad char in struct format")

    monkeypatch.setattr(paho.Client, "_handle_publish", die)
    monkeypatch.setattr(mqtt, "WATCH_INTERVAL_S", 0.05)
    with FakeBroker([send(UNREADABLE), accept]) as broker:
        ear = listen(broker.port)
        assert [ear.next() for _ in range(3)] == [
            Heard("connected"),
            Heard("lost", "paho's thread has ended"),
            Heard("connected"),
        ]
        ear.connection.stop()


def test_a_topic_that_is_no_text_is_passed_over(listen: Callable[..., Ear]) -> None:
    """The message after it is heard."""
    with FakeBroker([send(b"\x30\x05\x00\x01\xff\x00x" + b"\x30\x05\x00\x01t\x00y")]) as broker:
        ear = listen(broker.port, "5")
        assert [ear.next(), ear.next()] == [Heard("connected"), Heard("message", "t", b"y")]
        ear.connection.stop()


@pytest.mark.parametrize("script", [accept, keep_silent, hang_up], ids=["connected", "connecting", "between tries"])
def test_it_stops_at_once_whatever_it_does(script: Callable[[Client], None], listen: Callable[..., Ear]) -> None:
    """A service that does not end is killed, and a killed one publishes its will."""
    with FakeBroker([script]) as broker:
        ear = listen(broker.port)
        broker.levels.get(timeout=PATIENCE_S)
        ear.connection.stop()
        assert not ear.connection._thread.is_alive()


def test_a_connection_that_never_started_stops() -> None:
    """A command that fails early cleans up too."""
    ear = Ear(MqttConfig(HOST, 1))
    ear.connection.stop()
    assert not ear.connection.is_connected


def test_a_stop_right_behind_the_start_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the moment in which the thread clears what the last connection left."""
    with FakeBroker([accept]) as broker:
        ear = Ear(MqttConfig(HOST, broker.port))
        clear = ear.connection._settled.clear

        def stop_meanwhile() -> None:
            ear.connection._stopping.set()
            ear.connection._give_up()
            clear()

        monkeypatch.setattr(ear.connection._settled, "clear", stop_meanwhile)
        ear.connection.start()
        ear.connection._thread.join(PATIENCE_S)
        assert not ear.connection._thread.is_alive()


class Waits(threading.Event):
    """The event that ends a connection; notes what is waited for between two tries, and waits no longer for it."""

    def __init__(self) -> None:
        super().__init__()
        self.delays_s: Queue[float] = Queue()

    def wait(self, timeout: float | None = None) -> bool:
        """Note how long."""
        self.delays_s.put(timeout or 0.0)
        return super().wait(0.001)


def delays_of(broker: FakeBroker, count: int) -> list[float]:
    """The first delays between the tries of a connection that always has the greatest bad luck."""
    ear = Ear(MqttConfig(HOST, broker.port, protocol="5"), chance=lambda: 1.0)
    ear.connection._stopping = waits = Waits()
    ear.connection.start()
    try:
        return [waits.delays_s.get(timeout=PATIENCE_S) for _ in range(count)]
    finally:
        ear.connection.stop()


def test_a_connection_that_is_cut_at_once_waits_ever_longer() -> None:
    """Accepted or not: else a thousand gateways come back twice a second, for ever."""
    with FakeBroker([accept_and_drop]) as broker:
        assert delays_of(broker, 9) == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_connection_that_lasted_was_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try comes soon; also where it was lost between two looks at the clock."""
    monkeypatch.setattr(mqtt, "LASTING_S", 0.0)
    with FakeBroker([accept_and_drop, hang_up, hang_up, accept_and_drop]) as broker:
        assert delays_of(broker, 5) == [0.5, 1, 2, 0.5, 0.5]


def never_acknowledge(client: Client) -> None:
    """Take the connection, answer its pings, and acknowledge nothing."""
    client.accept()
    client.answer_pings()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three messages without a PUBACK are many, and half a second is long."""
    monkeypatch.setattr(mqtt, "MOST_UNACKNOWLEDGED", 3)
    monkeypatch.setattr(mqtt, "ACKNOWLEDGE_TIMEOUT_S", 0.5)
    monkeypatch.setattr(mqtt, "WATCH_INTERVAL_S", 0.05)


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_acknowledges_nothing_is_left(listen: Callable[..., Ear]) -> None:
    """No more than so many messages are handed to it; then it is connected to anew, owing nothing."""
    with FakeBroker([never_acknowledge]) as broker:
        ear = listen(broker.port)
        for _ in range(2):
            assert ear.next() == Heard("connected")
            assert [ear.connection.publish("x", b"1") for _ in range(4)] == [True, True, True, False]
            assert ear.next() == Heard("lost", "no PUBACK in 0.5 s")
        ear.connection.stop()
        assert not ear.connection._thread.is_alive()


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_what_is_acknowledged_at_once_is_not_owed(
    mosquitto: Mosquitto, listen: Callable[..., Ear], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the PUBACK is here before it is noted that one is owed."""
    add = mqtt._Owed.add

    def add_late(owed: mqtt._Owed, info: paho.MQTTMessageInfo) -> None:
        info.wait_for_publish(PATIENCE_S)
        add(owed, info)

    monkeypatch.setattr(mqtt._Owed, "add", add_late)
    ear = listen(mosquitto.port)
    assert ear.next() == Heard("connected")
    assert all(ear.connection.publish("paid", b"x") for _ in range(10))
    client = ear.connection._client
    assert client is not None
    assert not client.user_data_get().is_full()


def tell_that_nobody_listens(client: Client) -> None:
    """Take it, acknowledge three messages with "no matching subscribers" and a fourth plainly."""
    client.accept()
    for code in (b"\x10", b"\x10", b"\x10", b""):
        body = client.read(PUBLISH)
        at = 2 + int.from_bytes(body[:2])
        packet_id = body[at : at + 2]
        client.send(b"\x40" + bytes([2 + len(code)]) + packet_id + code)
    client.wait_until_gone()


def test_messages_that_nobody_listens_to_are_counted(
    listen: Callable[..., Ear], caplog: pytest.LogCaptureFixture
) -> None:
    """They are acknowledged all the same; one that the broker keeps for those who come later is not meant."""
    with caplog.at_level(logging.INFO), FakeBroker([tell_that_nobody_listens]) as broker:
        ear = listen(broker.port)
        assert ear.next() == Heard("connected")
        client = ear.connection._client
        assert client is not None
        for retain in (True, False, False, False):
            assert ear.connection.publish("x", b"1", retain=retain)
            info = client.user_data_get()._sent[max(client.user_data_get()._sent)][1]
            info.wait_for_publish(PATIENCE_S)
        assert ear.connection.unheard == 2
        ear.connection.stop()
    lines = [record.message for record in caplog.records if "subscribed" in record.message]
    assert len(lines) == 1
    assert "works again after 2 failures" in caplog.text


def test_a_connection_is_made_anew_on_request(listen: Callable[..., Ear]) -> None:
    """Its owner hears of the end and of the new beginning; where none stands there is nothing to end."""
    with FakeBroker([accept]) as broker:
        ear = listen(broker.port)
        assert ear.next() == Heard("connected")
        ear.connection.reconnect("because")
        assert ear.next() == Heard("lost", "because")
        assert ear.next() == Heard("connected")
        ear.connection.stop()
        ear.connection.reconnect("because")
        assert not ear.connection.is_connected


def test_messages_do_not_wait_for_each_other(listen: Callable[..., Ear]) -> None:
    """TCP_NODELAY: else each short one behind another waits for a delayed acknowledgement."""
    with FakeBroker([accept]) as broker:
        ear = listen(broker.port)
        assert ear.next() == Heard("connected")
        client = ear.connection._client
        assert client is not None
        connection = client.socket()
        assert isinstance(connection, socket.socket)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        ear.connection.stop()


def test_a_message_that_meets_the_end_of_its_connection_is_not_taken(
    listen: Callable[..., Ear], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its owner hears so, instead of an exception."""
    with FakeBroker([accept]) as broker:
        ear = listen(broker.port)
        assert ear.next() == Heard("connected")
        client = ear.connection._client
        assert client is not None
        monkeypatch.setattr(client, "_send_publish", lambda *_, **__: paho.MQTT_ERR_NO_CONN)
        assert ear.connection.publish("x", b"") is False
        ear.connection.stop()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A password file."""
    file = tmp_path / "secret"
    file.write_text("first", encoding="utf-8")
    file.chmod(0o600)
    return file


def test_a_renewed_password_is_used_for_the_next_connection(secret: Path, listen: Callable[..., Ear]) -> None:
    """Without a restart."""
    asked: Queue[bytes] = Queue()
    go_on: Queue[None] = Queue()

    def hear_and_drop(client: Client) -> None:
        asked.put(client.connect)
        client.accept()
        go_on.get(timeout=PATIENCE_S)

    with FakeBroker([hear_and_drop]) as broker:
        ear = listen(0, config=MqttConfig(HOST, broker.port, user="gw-1", password_file=str(secret)))
        assert asked.get(timeout=PATIENCE_S).endswith(b"\x00\x05first")
        secret.write_text("second", encoding="utf-8")
        go_on.put(None)
        assert asked.get(timeout=PATIENCE_S).endswith(b"\x00\x06second")
        go_on.put(None)
        ear.connection.stop()


def test_a_password_that_is_gone_is_waited_for(secret: Path) -> None:
    """Like for a broker: whoever renews a file may remove it first."""
    with FakeBroker([accept]) as broker, caplog_of("base.mqtt") as messages:
        config = MqttConfig(HOST, broker.port, user="gw-1", password_file=str(secret))
        ear = Ear(config)
        secret.unlink()
        ear.connection.start()
        try:
            assert f"{secret}:1:1: found no readable file" in messages.get(timeout=PATIENCE_S)
            secret.touch(0o600)
            assert ear.next() == Heard("connected")
        finally:
            ear.connection.stop()
        assert not ear.connection._thread.is_alive()


@pytest.mark.slow
def test_a_renewed_certificate_is_used_for_the_next_connection(tls_broker: Mosquitto, pki: Pki, tmp_path: Path) -> None:
    """Even where it was half written in between."""
    sound = pki.tls()
    certificate = tmp_path / "gw.crt"
    shutil.copy(sound.certificate, certificate)
    tls = TlsConfig(sound.ca, str(certificate), sound.key)
    with caplog_of("base.mqtt") as messages:
        ear = Ear(MqttConfig(HOST, tls_broker.port, tls=tls))
        certificate.write_text("-----BEGIN", encoding="utf-8")
        ear.connection.start()
        try:
            assert "gw.crt:1:1: found a certificate that does not load" in messages.get(timeout=PATIENCE_S)
            shutil.copy(sound.certificate, certificate)
            assert ear.next() == Heard("connected")
        finally:
            ear.connection.stop()


def test_a_key_with_a_passphrase_is_refused(pki: Pki, tmp_path: Path) -> None:
    """Nobody sits at the terminal where OpenSSL would ask for it."""
    key = tmp_path / "locked.key"
    pki._openssl("ec", "-in", pki["gw-1.key"], "-aes256", "-passout", "pass:secret", "-out", str(key))
    with pytest.raises(ConfigError, match="the key without a passphrase"):
        read_credentials(MqttConfig(HOST, tls=TlsConfig(pki["ca.crt"], pki["gw-1.crt"], str(key))))


def test_a_fault_of_ours_costs_one_try(
    listen: Callable[..., Ear], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its trace, and the thread goes on."""
    fresh = Connection._fresh_client
    faults = [RuntimeError("a fault of ours"), KeyError()]

    def stumble(connection: Connection) -> paho.Client:
        if faults:
            raise faults.pop(0)
        return fresh(connection)

    monkeypatch.setattr(Connection, "_fresh_client", stumble)
    with FakeBroker([accept]) as broker:
        ear = listen(broker.port)
        assert ear.next() == Heard("connected")
        ear.connection.stop()
        assert not ear.connection._thread.is_alive()
    traces = [record.message for record in caplog.records if record.exc_info]
    assert len(traces) == 2
    assert "internal error in the connection of" in traces[0]


def test_it_stops_between_two_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it would wait for the next try."""
    failed: Queue[None] = Queue()

    def stumble(_: Connection) -> paho.Client:
        failed.put(None)
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Connection, "_fresh_client", stumble)
    ear = Ear(MqttConfig(HOST, 1), chance=lambda: 1000.0)
    ear.connection.start()
    failed.get(timeout=PATIENCE_S)
    ear.connection.stop()
    assert not ear.connection._thread.is_alive()


def test_auto_waits_short_for_a_broker_that_may_not_know_mqtt_5(
    listen: Callable[..., Ear], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is silent, and asked in 3.1.1 soon; one that has accepted MQTT 5 before may take its time."""
    monkeypatch.setattr(mqtt, "FIRST_MQTT_5_TIMEOUT_S", 0.2)
    with FakeBroker([keep_silent, accept]) as broker:
        ear = listen(broker.port)
        assert ear.next() == Heard("connected")
        assert [broker.levels.get(timeout=PATIENCE_S) for _ in range(2)] == [5, 4]
        ear.connection.stop()

    def accept_late(client: Client) -> None:
        assert not threading.Event().wait(0.6)
        client.accept()
        client.wait_until_gone()

    with FakeBroker([accept_and_drop, accept_late]) as broker:
        ear = listen(broker.port)
        assert [ear.next().what for _ in range(3)] == ["connected", "lost", "connected"]
        assert [broker.levels.get(timeout=PATIENCE_S) for _ in range(2)] == [5, 5]
        ear.connection.stop()


def test_subscriptions_may_take_longer_than_the_first_answer(
    listen: Callable[..., Ear], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that has taken an MQTT 5 CONNECT speaks it."""
    monkeypatch.setattr(mqtt, "FIRST_MQTT_5_TIMEOUT_S", 0.2)

    def grant_late(client: Client) -> None:
        client.accept()
        assert not threading.Event().wait(0.6)
        client.grant()
        client.wait_until_gone()

    with FakeBroker([grant_late]) as broker:
        ear = listen(broker.port, subscriptions=["x"])
        assert ear.next() == Heard("connected")
        assert broker.levels.qsize() == 1
        ear.connection.stop()


def test_a_host_that_does_not_exist_is_tried_again(listen: Callable[..., Ear]) -> None:
    """A name server may be down too."""
    with caplog_of("base.mqtt") as messages:
        ear = listen(0, config=MqttConfig("no such host.invalid"))
        assert "broker no such host.invalid:1883" in messages.get(timeout=PATIENCE_S)
        assert not ear.connection.is_connected
