"""`messnetz cloud command` and `cloud key`: nothing leaves unsigned or unwritten, and every end has its answer."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import messnetz
from base.broker import MqttConfig
from base.errors import ConfigError, PermanentError
from base.mqtt import Connection, Handlers
from cloud import command as sending
from wire import command as wire_command
from wire import signing
from wire import status as wire_status
from wire.command import Command, Read, Reply
from wire.status import Status

from servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Literal, Self

    from wire.command import State

    from servers import Mosquitto

PRIVATE = bytes(range(32))
PUBLIC = signing.public_key(PRIVATE)


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever service runs the tests."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("SUDO_USER", raising=False)


def _run(*command: str) -> int:
    try:
        return messnetz.run(command)
    except SystemExit as end:
        return int(str(end.code))


def _file(tmp_path: Path, port: int, prefix: str = "messnetz") -> Path:
    key, file = tmp_path / "command.key", tmp_path / "command.yaml"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_text(signing.write_key(PRIVATE))
    mqtt = f"{{host: 127.0.0.1, port: {port}}}"
    file.write_text(f"prefix: {prefix}\nmqtt: {mqtt}\nkey: command.key\naudit: audit.jsonl\n")
    return file


def _audit(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]


def test_a_new_key_is_nobody_elses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The private one has mode 0600 and is never shown; the public one is what a gateway's file wants."""
    umask = os.umask(0)
    try:
        assert _run("cloud", "key", "new", str(tmp_path / "k")) == 0
    finally:
        os.umask(umask)
    shown = capsys.readouterr()
    private, public = (tmp_path / "k").read_text().strip(), (tmp_path / "k.pub").read_text().strip()
    assert signing.write_key(signing.public_key(signing.read_key(private))) == public
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert shown.out == f"command_key: {public}  # key id {signing.key_id(signing.read_key(public))}\n"
    assert private not in shown.out + shown.err
    assert _run("cloud", "key", "show", str(tmp_path / "k")) == 0
    assert capsys.readouterr().out == shown.out


def test_a_key_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All gateways would be lost to whoever did it."""
    (tmp_path / "k").write_text("precious")
    assert _run("cloud", "key", "new", str(tmp_path / "k")) == 1
    assert "there already" in capsys.readouterr().err
    assert (tmp_path / "k").read_text() == "precious"
    with pytest.raises(PermanentError, match="cannot be written"):
        sending.make_key(tmp_path / "nowhere" / "k")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """And one that is none is not repeated in the error."""
    (tmp_path / "k").write_text(signing.write_key(PRIVATE))
    (tmp_path / "k").chmod(0o640)
    with pytest.raises(ConfigError, match="mode 0640"):
        sending.read_private_key(tmp_path / "k")
    (tmp_path / "k").write_text("something secret")
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(ConfigError, match="no private key") as caught:
        sending.read_private_key(tmp_path / "k")
    assert "something secret" not in str(caught.value)


def test_the_file_of_a_collector_does_too(tmp_path: Path) -> None:
    """With the key named beside it."""
    file = tmp_path / "collector.yaml"
    file.write_text("collector: c1\nprefix: town\nmqtt: {host: h}\nstore: {embedded: {path: s}}\n")
    _file(tmp_path, 1)
    loaded = sending.load(file, key=tmp_path / "command.key", audit=tmp_path / "a")
    assert (loaded.prefix, loaded.mqtt.host, loaded.private) == ("town", "h", PRIVATE)
    with pytest.raises(ConfigError, match="systemd credential messnetz-command-key"):
        sending.load(file)


def test_the_key_may_be_a_credential_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no other is named."""
    credential = tmp_path / "messnetz-command-key"
    credential.touch(mode=0o400)
    credential.chmod(0o600)
    credential.write_text(signing.write_key(PRIVATE) + "\n")
    credential.chmod(0o400)
    (tmp_path / "command.yaml").write_text("mqtt: {host: h}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert sending.load(tmp_path / "command.yaml").private == PRIVATE


WRONG = [
    (["School", "read", "m"], "'School' is no id of a gateway"),
    (["gw", "read", "No Such"], "$.device"),
    (["gw", "read"], "Missing argument 'DEVICE'"),
    (["gw", "reboot"], "No such command 'reboot'"),
    (["gw", "read", "m", "--valid", "8d"], "a command is valid for 7 days at most"),
    (["gw", "read", "m", "--valid", "soon"], "'soon' is no duration; write it as 90s, 30m, 2h or 7d"),
    (["gw", "maintenance"], "one of --for DURATION, --to TIME and --end"),
    (["gw", "maintenance", "--for", "1h", "--end"], "one of --for DURATION, --to TIME and --end"),
    (["gw", "maintenance", "--for", "100d"], "a span of 100 days, from 20"),
    (["gw", "maintenance", "--from", "2026-01-02", "--to", "2026-01-01"], "a span of -1 day, from 2026-01-02 00:00"),
    (["gw", "resend", "--from", "2026-01-02", "--to", "2026-01-01"], "a span that ends at 2026-01-01 00:00:00"),
    (["gw", "downlink", "m", "xyz"], "$.payload"),
    (["gw", "configure", "m", "Bad-Name", "1"], "$.setting"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_a_wrong_input_is_said_before_anything_is_sent(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, and no trace of it on the broker or in the audit log."""
    file = _file(tmp_path, free_port())
    assert _run("cloud", "command", str(file), *arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "audit.jsonl").exists()


def test_the_file_may_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Then it is the one of this machine."""
    assert _run("cloud", "command", "school-gw", "read", "m") == 2
    assert "/etc/messnetz/command.yaml:1:1: found no readable file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [("20", 20), ("2.5", 2.5), ("true", True), ("on", "on"), ("007", "007"), ("[1]", "[1]"), ("null", "null")],
)
def test_a_value_is_what_it_looks_like(
    text: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number is a number, and all else a text."""
    sent: list[Any] = []

    def send(_self: object, action: object, **_: object) -> Iterator[object]:
        sent.append(action)
        return iter(())

    monkeypatch.setattr(sending.Dialogue, "send", send)
    _run("cloud", "command", str(_file(tmp_path, 1)), "gw", "configure", "m", "s", text)
    assert (sent[0].value, type(sent[0].value)) == (value, type(value))


def test_no_broker_is_said_and_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who wanted what is known even if nothing came of it."""
    monkeypatch.setattr(sending, "CONNECT_TIMEOUT_S", 0.2)
    assert _run("cloud", "command", str(_file(tmp_path, free_port())), "gw", "read", "m") == 1
    assert "no connection in 0.2 s" in capsys.readouterr().err
    asked, ended = _audit(tmp_path)
    assert (asked["who"], asked["gateway"], asked["state"]) == (sending.who(), "gw", "asked")
    assert asked["action"] == {"command": "read", "device": "m"}
    assert (ended["state"], ended["id"]) == ("broken off", asked["id"])


def test_a_command_that_leaves_no_trace_is_not_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the broker is even asked."""
    (tmp_path / "audit.jsonl").mkdir()
    assert _run("cloud", "command", str(_file(tmp_path, free_port())), "gw", "read", "m") == 1
    assert "audit.jsonl: cannot be written" in capsys.readouterr().err


def test_who_became_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root is nobody in particular."""
    monkeypatch.setenv("SUDO_USER", "jane")
    assert sending.who().startswith("jane as ")


def _login(port: int, password: Path | None) -> MqttConfig:
    """The user of that name, or nobody."""
    if password is None:
        return MqttConfig("127.0.0.1", port=port)
    return MqttConfig("127.0.0.1", port=port, user=password.name, password_file=str(password))


class FakeGateway:
    """A gateway of a test: says its status, and answers each command as it is told."""

    def __init__(
        self,
        port: int,
        prefix: str,
        *replies: Callable[[str], bytes],
        status: Literal["online", "offline"] | None = "online",
        password: Path | None = None,
    ) -> None:
        self.commands: list[Command] = []
        self._prefix, self._replies, self._status = prefix, replies, status
        self._ready = threading.Event()
        self._mqtt = Connection(
            _login(port, password),
            "fake",
            Handlers(self._connected, lambda _: None, self._message),
            subscriptions=[f"{prefix}/gw/command"],
        )

    def _connected(self) -> None:
        if self._status is not None:
            self.say(self._status)
        self._ready.set()

    def say(self, state: Literal["online", "offline"]) -> None:
        """Set the retained status."""
        status = Status(state, 1_800_000_000_000, "1", "0" * 16, "m", "c")
        self._mqtt.publish(f"{self._prefix}/gw/status", wire_status.encode(status), retain=True)

    def _message(self, _topic: str, payload: bytes, _retained: bool) -> None:  # noqa: FBT001 - Handlers' signature
        signed = wire_command.open_signed(payload)
        assert signing.is_signed(PUBLIC, signed.message(), signed.signature)
        self.commands.append(wire_command.decode(signed))
        for reply in self._replies:
            payload = reply(self.commands[-1].id)
            if payload == GONE:
                self.say("offline")
            else:
                self._mqtt.publish(f"{self._prefix}/gw/reply", payload)

    def reply(self, reply: Callable[[str], bytes]) -> None:
        """Say something more of the last command."""
        self._mqtt.publish(f"{self._prefix}/gw/reply", reply(self.commands[-1].id))

    def __enter__(self) -> Self:
        self._mqtt.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._mqtt.stop()


GONE = b"gone"


def says(state: State, text: str = "", result: dict[str, Any] | None = None) -> Callable[[str], bytes]:
    """A reply to whatever command comes."""
    return lambda command: wire_command.encode_reply(Reply(command, "gw", state, text, result))


class Place(NamedTuple):
    """Where a test sends its commands: topics of its own on a shared broker."""

    port: int
    prefix: str
    file: str


@pytest.fixture
def place(mosquitto: Mosquitto, tmp_path: Path) -> Place:
    """A command file for the shared broker."""
    prefix = f"town-{wire_command.new_id()[:8]}"
    return Place(mosquitto.port, prefix, str(_file(tmp_path, mosquitto.port, prefix)))


READINGS = {"readings": [{"quantity": "voltage", "channel": "L1", "value": 230.5, "unit": "V", "flags": 4}]}
OTHER = wire_command.encode_reply(Reply("f" * 32, "gw", "failed", "of another"))


@pytest.mark.slow
def test_a_command_is_followed_to_its_end(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Progress goes to the terminal, the outcome to whoever reads; both sides have written it down."""
    replies = (
        lambda _: OTHER,
        lambda _: b"rubbish",
        says("accepted", "yes"),
        says("refused", "received before"),
        says("progress", "soon"),
        says("done", "1 readings", READINGS),
    )
    with FakeGateway(place.port, place.prefix, *replies) as gateway:
        assert _run("cloud", "command", place.file, "gw", "read", "meter", "--valid", "2h") == 0
    shown = capsys.readouterr()
    assert [line.split(":")[1].strip() for line in shown.err.splitlines()] == ["sent", "accepted", "progress"]
    assert shown.out.splitlines()[0] == "gw: done: 1 readings"
    assert shown.out.split()[4:] == ["voltage/L1", "230.5", "V", "flags", "4"]
    (command,) = gateway.commands
    assert command.action == Read(device="meter")
    assert command.expires_at_ms - command.issued_at_ms == 7_200_000
    assert [(entry["state"], entry["id"]) for entry in _audit(tmp_path)] == [
        (state, command.id) for state in ("asked", "sent", "accepted", "done")
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("replies", "code", "last"),
    [
        ([says("refused", "expired")], 1, ("refused", "expired")),
        ([says("accepted"), says("failed", "no answer")], 1, ("failed", "no answer")),
        ([says("accepted"), lambda _: GONE], 3, ("away", "nobody knows what became of it")),
        ([lambda _: GONE], 3, ("away", "commands are not kept")),
        ([], 3, ("away", "no word from gateway gw in 1 s (it says that it is online); commands are not kept")),
        (
            [says("accepted")],
            3,
            ("away", "no word from gateway gw in 1 s (it says that it is online); the command was"),
        ),
    ],
)
def test_every_end_has_its_answer_and_its_exit_code(
    replies: list[Callable[[str], bytes]],
    code: int,
    last: tuple[str, str],
    place: Place,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For programs one JSON object for each thing heard."""
    with FakeGateway(place.port, place.prefix, *replies):
        assert _run("cloud", "command", place.file, "gw", "read", "m", "--json", "--timeout", "1") == code
    heard = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert heard[0]["state"] == "sent"
    assert heard[-1]["state"] == last[0]
    assert last[1] in heard[-1]["text"]
    assert _audit(tmp_path)[-1]["state"] == last[0]


@pytest.mark.slow
def test_nothing_is_sent_to_a_gateway_that_is_away(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be lost, and whoever sent it should know."""
    with FakeGateway(place.port, place.prefix, says("done"), status="offline") as gateway:
        assert _run("cloud", "command", place.file, "gw", "reload") == 3
    assert gateway.commands == []
    said = "gw: away: gateway gw is offline (its last agent ran since 2027-01-15 08:00 UTC); the command was not sent"
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_gateway_that_nobody_knows_is_named_as_such(
    place: Place,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mistyped id, most likely."""
    monkeypatch.setattr(sending, "STATUS_TIMEOUT_S", 0.2)
    assert _run("cloud", "command", place.file, "no-such-gw", "reload", "--timeout", "0.5") == 3
    assert "it is not known to the broker: no status" in capsys.readouterr().err


@pytest.fixture
def named(make_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> Place:
    """A command file for a broker that knows its clients by their users alone, as SECURITY.md has it."""
    users = tmp_path / "users"
    users.mkdir(mode=0o700)
    for user in ("gw", "city-it"):
        (users / user).touch(mode=0o600)
        (users / user).write_text("secret")
    (users / "all").write_text("gw:secret\ncity-it:secret\n")
    subprocess.run(["mosquitto_passwd", "-U", str(users / "all")], check=True, timeout=60)
    broker = make_mosquitto(settings=[f"password_file {users / 'all'}", "use_username_as_clientid true"])
    _file(tmp_path, broker.port)
    file = tmp_path / "command.yaml"
    login = f"port: {broker.port}, user: city-it, password_file: {users / 'city-it'}"
    file.write_text(file.read_text().replace(f"port: {broker.port}", login))
    return Place(broker.port, "messnetz", str(file))


def _sent(file: Path) -> Iterator[sending.News]:
    """Send a command; each look at it hears the next word."""
    return sending.Dialogue(sending.load(file), "gw").send(Read(device="m"), valid_s=60, timeout_s=20)


@pytest.mark.slow
def test_two_commands_at_once_wait_for_each_other(named: Place, tmp_path: Path) -> None:
    """The broker would cut the first one off: it knows both by one name."""
    file = tmp_path / "command.yaml"
    with FakeGateway(named.port, named.prefix, says("accepted"), password=tmp_path / "users" / "gw") as gateway:
        first, second = _sent(file), _sent(file)
        assert [next(first).state, next(first).state] == ["sent", "accepted"]
        assert next(second) == sending.News(
            id=_audit(tmp_path)[-1]["id"],
            gateway="gw",
            state="waiting",
            text="another command is under way with our certificate or user",
        )
        assert len(gateway.commands) == 1
        gateway.reply(says("done"))
        assert [news.state for news in first] == ["done"]
        assert [next(second).state, next(second).state] == ["sent", "accepted"]
        gateway.reply(says("done"))
        assert [news.state for news in second] == ["done"]


@pytest.mark.slow
def test_whoever_is_cut_off_from_elsewhere_says_so_and_gives_way(named: Place, tmp_path: Path) -> None:
    """Another machine is connected under the same name: the two would cut each other off for ever."""
    login = _login(named.port, tmp_path / "users" / "city-it")
    rival = Connection(login, "rival", Handlers(lambda: None, lambda _: None, lambda *_: None))
    with FakeGateway(named.port, named.prefix, says("accepted"), password=tmp_path / "users" / "gw"):
        command = _sent(tmp_path / "command.yaml")
        assert [next(command).state, next(command).state] == ["sent", "accepted"]
        rival.start()
        (last,) = command
        assert last.state == "away"
        assert last.text == f"{sending.CUT_OFF}; the command was accepted, and nobody knows what became of it"
        deadline_s = time.monotonic() + 20
        while not rival.is_connected and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert rival.is_connected
    rival.stop()
