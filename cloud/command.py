"""Sending commands to gateways: who may, with which key, and what is written down about it.

A command is for now: it is not queued anywhere. Where its gateway is away, whoever sent it hears so.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import queue
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from base import strict_yaml
from base.audit import AuditLog
from base.broker import MqttConfig
from base.errors import ConfigError, PermanentError, Position, TransientError
from base.mqtt import Connection, Handlers
from base.secrets import read_secret
from cloud.config import CollectorFile
from wire import command as wire_command
from wire import signing
from wire import status as wire_status
from wire.command import FINAL, Command, Reply
from wire.errors import BadMessageError
from wire.topics import DEFAULT_PREFIX, Prefix, Topics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wire.command import Action
    from wire.status import Status

CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"
CREDENTIAL = "messnetz-command-key"
CONNECT_TIMEOUT_S = 15.0
STATUS_TIMEOUT_S = 2.0
"""How long the broker may take to say what the gateway's retained status is."""
CUT_OFF = "cut off twice: somebody else seems to be connected with our certificate or user"
MAX_AUDIT_BYTES = 16 << 20
AUDITS_KEPT = 4


class CommandFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`command.yaml`: what `messnetz cloud command` needs. A collector's file does, too, with `--key`."""

    prefix: Prefix = DEFAULT_PREFIX
    """Beginning of all topics: as in `town.yaml`."""
    mqtt: MqttConfig
    """The user of city IT: the only one whom the broker lets write `command`."""
    key: str | None = None
    """The private key that `messnetz cloud key new` has made (mode 0600), relative to this file; the systemd credential
    `messnetz-command-key` unless set."""
    audit: str = "/var/log/messnetz/commands.jsonl"
    """Who sent which command and what came of it; relative to this file."""


@dataclass(frozen=True)
class Sender:
    """Who sends, and through which broker."""

    prefix: str
    mqtt: MqttConfig
    private: bytes
    audit: AuditLog


def load(file: Path, *, key: Path | None = None, audit: Path | None = None) -> Sender:
    """Read a command file or a collector's; `key` and `audit` go before what it says.

    Raises: ConfigError at the line, or naming the file, that is wrong.
    """
    document = strict_yaml.load(file)
    is_collector = isinstance(document.value, dict) and "collector" in document.value
    if is_collector:
        collector = document.convert(CollectorFile)
        settings = CommandFile(prefix=collector.prefix, mqtt=collector.mqtt)
    else:
        settings = document.convert(CommandFile)
    log = audit or file.parent / settings.audit
    return Sender(
        settings.prefix,
        settings.mqtt,
        read_private_key(key or _key_file(settings, file)),
        AuditLog(log, max_bytes=MAX_AUDIT_BYTES, keep=AUDITS_KEPT),
    )


def _key_file(settings: CommandFile, file: Path) -> Path:
    if settings.key is not None:
        return file.parent / settings.key
    folder = os.environ.get(CREDENTIALS_DIRECTORY)
    if folder is None:
        raise ConfigError(Position(file), "no private key", f"`key`, --key, or the systemd credential {CREDENTIAL}")
    return Path(folder) / CREDENTIAL


def read_private_key(file: Path) -> bytes:
    """Read a private key.

    Raises: ConfigError where there is none, or where others can read it.
    """
    text = read_secret(file, "the private key")
    try:
        return signing.read_key(text)
    except ValueError:
        raise ConfigError(Position(file), "no private key", "one that `messnetz cloud key new` has made") from None


def make_key(file: Path) -> str:
    """Make a private key that only this user can read, and its public half beside it (`.pub`).

    Returns: the public key.
    Raises: PermanentError where a file is there already, or cannot be written.
    """
    private = signing.new_key()
    public = signing.write_key(signing.public_key(private))
    _write_new(file, signing.write_key(private), 0o600)
    _write_new(public_file(file), public, 0o644)
    return public


def public_file(file: Path) -> Path:
    """Where the public half of a private key lies."""
    return file.with_name(file.name + ".pub")


def _write_new(file: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            os.fchmod(descriptor, mode)
            handle.write(text + "\n")
            handle.flush()
            os.fsync(descriptor)
    except FileExistsError:
        raise PermanentError(f"{file}: there already; a key is never overwritten") from None
    except OSError as error:
        raise PermanentError(f"{file}: cannot be written ({error.strerror})") from error


class News(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is heard about a command that was sent, or was not."""

    id: str
    gateway: str
    state: Literal["waiting", "sent", "accepted", "progress", "done", "refused", "failed", "away"]
    text: str
    result: dict[str, object] | None = None


END = (*FINAL, "away")
"""States after which nothing comes any more."""


class _CutOffError(TransientError):
    """The broker gives our place to another connection of the same name; to take it back would cut that one off."""


class _Turn:
    """One command at a time of this machine for each certificate or user: a broker may know its clients by them."""

    def __init__(self, mqtt: MqttConfig) -> None:
        self._file = mqtt.tls.certificate if mqtt.tls is not None else mqtt.password_file
        self._opened: int | None = None

    @property
    def is_named(self) -> bool:
        """Whether the broker can know us by a name that others may have, too."""
        return self._file is not None

    def take(self) -> bool:
        """Whether it is our turn at once; always where the broker cannot tell us from others by a name."""
        if self._file is None:
            return True
        try:
            self._opened = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # the connection says what is wrong with the file
        return True

    def wait(self) -> None:
        """Wait for our turn; whoever has it ends by its own time-out."""
        if self._opened is not None:
            fcntl.flock(self._opened, fcntl.LOCK_EX)

    def end(self) -> None:
        """Leave it to the next one."""
        if self._opened is not None:
            os.close(self._opened)


class Dialogue:
    """One connection to the broker, for one command to one gateway."""

    def __init__(self, sender: Sender, gateway: str) -> None:
        """Build it; nothing is connected before `send`.

        Raises: ConfigError where a password or certificate cannot be read.
        """
        self._sender = sender
        self._gateway = gateway
        self._topics = Topics(sender.prefix)
        self._turn = _Turn(sender.mqtt)
        self._losses = 0
        self._heard: queue.Queue[Reply | Status | _CutOffError | None] = queue.Queue()
        self._mqtt = Connection(
            sender.mqtt,
            client_id=f"command-{secrets.token_hex(4)}",
            handlers=Handlers(lambda: self._heard.put(None), self._lost, self._message),
            subscriptions=[self._topics.of(gateway, kind) for kind in ("reply", "status")],
        )

    def _lost(self, _reason: str) -> None:
        """Give way to who cuts us off again when we are back; one loss is none of anybody's, and heals by itself."""
        self._losses += 1
        if self._losses > 1 and self._turn.is_named:
            self._heard.put(_CutOffError(CUT_OFF))

    def _message(self, topic: str, payload: bytes, _retained: bool) -> None:  # noqa: FBT001 - Handlers' signature
        at = self._topics.read(topic)
        try:
            if at is not None and at.kind == "reply":
                self._heard.put(wire_command.decode_reply(payload))
            elif at is not None and at.kind == "status":
                self._heard.put(wire_status.decode(payload))
        except BadMessageError:
            return  # whoever sent that, it says nothing about our command

    def send(self, action: Action, *, valid_s: float, timeout_s: float) -> Iterator[News]:
        """Send a command and yield what is heard about it, until it has ended or `timeout_s` pass without a word.

        Raises: TransientError where the broker cannot be reached; PermanentError where the command is too long, or
        cannot be written down: a command that leaves no trace is not sent.
        """
        self._id, self._action = wire_command.new_id(), action
        self._note("asked", "")
        try:
            if not self._turn.take():
                yield self._news("waiting", "another command is under way with our certificate or user")
                self._turn.wait()
            self._mqtt.start()
            for news in self._converse(valid_s, timeout_s):
                if news.state != "progress":
                    self._note(news.state, news.text)
                yield news
        except BaseException as error:  # whoever sent it may give up, too
            self._note("broken off", str(error) or type(error).__name__)
            raise
        finally:
            self._mqtt.stop()
            self._turn.end()

    def _note(self, state: str, text: str) -> None:
        public = signing.public_key(self._sender.private)
        self._sender.audit.add(
            {
                "at_ms": _now_ms(),
                "who": who(),
                "id": self._id,
                "key": signing.key_id(public),
                "gateway": self._gateway,
                "action": msgspec.to_builtins(self._action),
                "state": state,
                "text": text,
            }
        )

    def _converse(self, valid_s: float, timeout_s: float) -> Iterator[News]:
        try:
            status = self._await_status()
        except _CutOffError as error:
            yield self._news("away", f"{error}; the command was not sent: commands are not kept")
            return
        if status is not None and status.state == "offline":
            yield self._news("away", f"{self._offline(status)}; the command was not sent: commands are not kept")
            return
        self._publish(valid_s)
        yield self._news("sent", "waiting for the gateway")
        yield from self._await_end(status, timeout_s)

    def _await_status(self) -> Status | None:
        """Wait for the connection, and then a moment for the retained status; None where there is none."""
        host, port = self._sender.mqtt.endpoint()
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        is_connected, status = False, None
        while not is_connected or status is None:
            try:
                heard = self._heard.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                if is_connected:
                    return None
                raise TransientError(f"broker {host}:{port}: no connection in {CONNECT_TIMEOUT_S:g} s") from None
            if isinstance(heard, _CutOffError):
                raise heard
            if heard is None:
                is_connected, deadline_s = True, time.monotonic() + STATUS_TIMEOUT_S
            elif not isinstance(heard, Reply):
                status = heard
        return status

    def _publish(self, valid_s: float) -> None:
        now_ms = _now_ms()
        command = Command(
            gateway=self._gateway,
            id=self._id,
            issued_at_ms=now_ms,
            expires_at_ms=now_ms + round(valid_s * 1000),
            action=self._action,
        )
        try:
            payload = wire_command.sign(command, self._sender.private)
        except ValueError as error:
            raise PermanentError(str(error)) from error
        if not self._mqtt.publish(self._topics.of(self._gateway, "command"), payload):
            raise TransientError("the connection to the broker broke before the command was sent")

    def _await_end(self, status: Status | None, timeout_s: float) -> Iterator[News]:
        is_accepted, deadline_s = False, time.monotonic() + timeout_s
        while True:
            try:
                heard = self._heard.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                yield self._news("away", self._silence(status, timeout_s, is_accepted=is_accepted))
                return
            if isinstance(heard, _CutOffError):
                yield self._news("away", f"{heard}; {_fate(is_accepted=is_accepted)}")
                return
            if isinstance(heard, wire_status.Status):
                status = heard
                if status.state == "offline":
                    yield self._news("away", f"{self._offline(status)}; {_fate(is_accepted=is_accepted)}")
                    return
            if not isinstance(heard, Reply) or heard.id != self._id:
                continue
            if heard.state == "refused" and is_accepted:  # the broker delivered it twice, and it is done once
                continue
            is_accepted, deadline_s = True, time.monotonic() + timeout_s
            yield self._news(heard.state, heard.text, heard.result)
            if heard.state in FINAL:
                return

    def _news(self, state: str, text: str, result: dict[str, object] | None = None) -> News:
        return msgspec.convert(
            {"id": self._id, "gateway": self._gateway, "state": state, "text": text, "result": result}, News
        )

    def _offline(self, status: Status) -> str:
        began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(status.since_ms / 1000))
        return f"gateway {self._gateway} is offline (its last agent ran since {began})"

    def _silence(self, status: Status | None, timeout_s: float, *, is_accepted: bool) -> str:
        known = "is not known to the broker: no status" if status is None else f"says that it is {status.state}"
        text = f"no word from gateway {self._gateway} in {timeout_s:g} s (it {known}); {_fate(is_accepted=is_accepted)}"
        return text if is_accepted or status is None else f"{text}. Does it have our key, and the broker's leave?"


def _fate(*, is_accepted: bool) -> str:
    if is_accepted:
        return "the command was accepted, and nobody knows what became of it"
    return "commands are not kept: send it again when the gateway is back"


def who() -> str:
    """Return the name of the person who runs this: the user of the process, and who became it through sudo."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    before = os.environ.get("SUDO_USER")
    return f"{before} as {name}" if before and before != name else name


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
