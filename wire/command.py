"""Commands from city IT to a gateway, and the gateway's replies.

`P/<gateway>/command`: `{"payload","signature","key"}`. `payload` is a text, itself JSON:
`{"gateway","id","issued_at_ms","expires_at_ms","action":{"command",...}}`. What is signed are the bytes of that text
behind `CONTEXT`, as they stand: nothing is put into a canonical form, so no two readers can disagree about it.

`P/<gateway>/reply`: `{"id","gateway","state","text","result"}`.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec

from wire import signing
from wire.batch import TimeMs
from wire.bounds import (
    MAX_COMMAND_BYTES,
    MAX_COMMAND_LIFE_MS,
    MAX_DOWNLINK_BYTES,
    MAX_MAINTENANCE_MS,
    MAX_PAYLOAD_BYTES,
    MAX_REASON_CHARS,
)
from wire.errors import BadMessageError
from wire.ids import END, Id
from wire.signing import KeyId

CONTEXT = b"messnetz command 1\n"
"""Stands before what is signed, so that a signature made for anything else never passes for a command's."""

CommandId: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}" + END)]
"""128 random bits."""
SettingName: TypeAlias = Annotated[
    str,
    msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,62}" + END, description="lower-case letters, digits and '_', at most 63"),
]
_Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
_Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=200)]
Value: TypeAlias = bool | _Whole | float | _Text
T = TypeVar("T")


_UNITS_MS = {"day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1000}


def _said(milliseconds: int) -> str:
    """Write a length of time in the greatest unit of which there is one at least."""
    unit = next((unit for unit, unit_ms in _UNITS_MS.items() if abs(milliseconds) >= unit_ms), "second")
    count = f"{milliseconds / _UNITS_MS[unit]:.4g}"
    return f"{count} {unit}" + ("" if count in ("1", "-1") else "s")


def _utc(time_ms: int) -> str:
    """Write a time (Unix, milliseconds) for people; far beyond the calendar as it is."""
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"


class _Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command", kw_only=True):
    """What a gateway is asked to do."""


class Read(_Action, frozen=True, tag="read"):
    """Read a device now."""

    device: Id


class Maintenance(_Action, frozen=True, tag="maintenance"):
    """Mark what a device measures in a span as taken during maintenance; without a device, what all of them do.

    A new span for the same device replaces the former one.
    """

    from_ms: TimeMs
    to_ms: TimeMs
    device: Id | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.to_ms - self.from_ms <= MAX_MAINTENANCE_MS:
            span, most = _said(self.to_ms - self.from_ms), _said(MAX_MAINTENANCE_MS)
            raise ValueError(f"a span of {span}, from {_utc(self.from_ms)} to {_utc(self.to_ms)}; it has 0 to {most}")


class Configure(_Action, frozen=True, tag="configure"):
    """Write a setting that the device's profile declares."""

    device: Id
    setting: SettingName
    value: Value


class Downlink(_Action, frozen=True, tag="downlink"):
    """Send bytes to a device, as its maker's manual has them."""

    device: Id
    payload: Annotated[str, msgspec.Meta(pattern=rf"^([0-9a-f]{{2}}){{1,{MAX_DOWNLINK_BYTES}}}" + END)]
    """Hexadecimal."""
    port: Annotated[int, msgspec.Meta(ge=1, le=223)] | None = None
    """LoRaWAN's FPort."""
    confirmed: bool = False


class Reload(_Action, frozen=True, tag="reload"):
    """Read the configuration anew."""


class Resend(_Action, frozen=True, tag="resend"):
    """Send once more what was confirmed in a span, or has readings of it, for a database that has to be made whole."""

    from_ms: TimeMs
    to_ms: TimeMs

    def __post_init__(self) -> None:
        if self.from_ms > self.to_ms:
            raise ValueError(f"a span that ends at {_utc(self.to_ms)}, before it begins at {_utc(self.from_ms)}")


Action: TypeAlias = Read | Maintenance | Configure | Downlink | Reload | Resend


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a command is for and how long it holds; readable also where the rest is of a newer release."""

    gateway: Id
    id: CommandId
    issued_at_ms: TimeMs
    expires_at_ms: TimeMs

    def __post_init__(self) -> None:
        if not 0 < self.expires_at_ms - self.issued_at_ms <= MAX_COMMAND_LIFE_MS:
            life, most = _said(self.expires_at_ms - self.issued_at_ms), _said(MAX_COMMAND_LIFE_MS)
            raise ValueError(f"a life of {life}; more than nothing, and at most {most}")


class Command(Address, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One command."""

    action: Action


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command as it travels."""

    payload: str
    signature: Annotated[str, msgspec.Meta(max_length=100)]
    key: KeyId

    def message(self) -> bytes:
        """Return the bytes that were signed."""
        return CONTEXT + self.payload.encode()


State: TypeAlias = Literal["accepted", "progress", "done", "refused", "failed"]
FINAL = ("done", "refused", "failed")
"""States after which nothing comes any more."""


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a gateway says about a command."""

    id: CommandId
    gateway: Id
    state: State
    text: str
    result: dict[str, Any] | None = None


_signed = msgspec.json.Decoder(Signed)
_addresses = msgspec.json.Decoder(Address)
_commands = msgspec.json.Decoder(Command)
_replies = msgspec.json.Decoder(Reply)


def new_id() -> str:
    """Make the id of a command."""
    return secrets.token_hex(16)


def sign(command: Command, private: bytes) -> bytes:
    """Write and sign a command.

    Raises: ValueError where it is longer than a gateway takes.
    """
    payload = msgspec.json.encode(command)
    key = signing.key_id(signing.public_key(private))
    message = msgspec.json.encode(Signed(payload.decode(), signing.sign(private, CONTEXT + payload), key))
    if len(message) > MAX_COMMAND_BYTES:
        raise ValueError(f"a command of {len(message)} bytes; at most {MAX_COMMAND_BYTES}")
    return message


def open_signed(message: bytes) -> Signed:
    """Take a signed command apart; nothing in it may be believed yet.

    Raises: BadMessageError where it is none.
    """
    if len(message) > MAX_COMMAND_BYTES:
        raise BadMessageError(f"a command of {len(message)} bytes")
    return _decode(_signed, message, "signed command")


def address(signed: Signed) -> Address:
    """Read whom a command is for, whatever it asks.

    Raises: BadMessageError where it is for nobody.
    """
    return _decode(_addresses, signed.payload, "address of a command")


def decode(signed: Signed) -> Command:
    """Read a command strictly: what is not understood whole is not done in part.

    Raises: BadMessageError for anything unknown.
    """
    return _decode(_commands, signed.payload, "command of this release")


def _decode(decoder: msgspec.json.Decoder[T], data: bytes | str, what: str) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadMessageError(f"no {what}: {error}"[:MAX_REASON_CHARS]) from error


def encode_reply(reply: Reply) -> bytes:
    """Write a reply; its text is cut to its bound, and a result that is too long is left out and said to be."""
    reply = msgspec.structs.replace(reply, text=reply.text[:MAX_REASON_CHARS])
    payload = msgspec.json.encode(reply)
    if len(payload) <= MAX_PAYLOAD_BYTES:
        return payload
    text = f"{reply.text[: MAX_REASON_CHARS - 50]} (the result is too long to be sent)"
    return msgspec.json.encode(msgspec.structs.replace(reply, text=text, result=None))


def decode_reply(payload: bytes) -> Reply:
    """Read a reply.

    Raises: BadMessageError where it is none.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise BadMessageError(f"a reply of {len(payload)} bytes")
    return _decode(_replies, payload, "reply")
