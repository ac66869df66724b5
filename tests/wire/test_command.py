"""Commands on the wire: signed as they stand, decoded strictly, bounded."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wire import command as commands
from wire import signing
from wire.bounds import MAX_COMMAND_BYTES, MAX_COMMAND_LIFE_MS, MAX_PAYLOAD_BYTES, MAX_REASON_CHARS
from wire.command import Command, Configure, Downlink, Maintenance, Read, Reload, Reply, Resend, Signed
from wire.errors import BadMessageError

PRIVATE = bytes(range(32))
PUBLIC = signing.public_key(PRIVATE)
NOW_MS = 1_800_000_000_000
ACTIONS: list[commands.Action] = [
    Read(device="meter"),
    Maintenance(device="meter", from_ms=NOW_MS, to_ms=NOW_MS + 1),
    Maintenance(from_ms=NOW_MS, to_ms=NOW_MS),
    Configure(device="meter", setting="ct_ratio", value=2.5),
    Configure(device="meter", setting="name", value="Küche"),
    Configure(device="meter", setting="on", value=True),
    Downlink(device="meter", payload="00ff", port=2, confirmed=True),
    Reload(),
    Resend(from_ms=1, to_ms=2),
]


def command(action: commands.Action) -> Command:
    """A command that is in order."""
    return Command(gateway="gw", id="0" * 32, issued_at_ms=NOW_MS, expires_at_ms=NOW_MS + 1000, action=action)


def payload(**changed: Any) -> str:  # noqa: ANN401 - whatever a test puts there
    """Return the text of a command in which some members are others."""
    members = msgspec.to_builtins(command(Read(device="meter"))) | changed
    return msgspec.json.encode({name: value for name, value in members.items() if value is not ...}).decode()


def signed(text: str) -> Signed:
    """Wrap a text that claims to be a command."""
    return Signed(text, "", "0" * 16)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_what_is_signed_arrives_as_it_was(action: commands.Action) -> None:
    """Every command, and the signature holds for the bytes that are read."""
    sent = commands.sign(command(action), PRIVATE)
    opened = commands.open_signed(sent)
    assert opened.key == signing.key_id(PUBLIC)
    assert signing.is_signed(PUBLIC, opened.message(), opened.signature)
    assert commands.decode(opened) == command(action)
    assert commands.address(opened).id == "0" * 32


def test_a_signature_holds_for_a_command_only() -> None:
    """The same text signed for another purpose is none."""
    opened = commands.open_signed(commands.sign(command(Reload()), PRIVATE))
    elsewhere = signing.sign(PRIVATE, opened.payload.encode())
    assert not signing.is_signed(PUBLIC, opened.message(), elsewhere)


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_of_what_was_signed_can_be_changed(at: int, bit: int) -> None:
    """Of the message or of the signature."""
    opened = commands.open_signed(commands.sign(command(Read(device="meter")), PRIVATE))
    message = bytearray(opened.message())
    message[at % len(message)] ^= 1 << bit
    assert not signing.is_signed(PUBLIC, bytes(message), opened.signature)
    raw = bytearray(base64.b64decode(opened.signature))
    raw[at % len(raw)] ^= 1 << bit
    assert not signing.is_signed(PUBLIC, opened.message(), base64.b64encode(raw).decode())


@pytest.mark.parametrize("signature", ["", "x", "é", "AAAA", "A" * 88, "=" * 88, "\n"])
def test_a_signature_that_is_none_is_none(signature: str) -> None:
    """Whatever stands there."""
    assert not signing.is_signed(PUBLIC, b"m", signature)


def test_a_signature_is_written_in_one_way_only() -> None:
    """Bits of its last character that mean nothing must be zero."""
    signature = signing.sign(PRIVATE, b"m")
    other = signature[:-3] + chr(ord(signature[-3]) + 1) + "=="
    assert base64.b64decode(other) == base64.b64decode(signature)
    assert not signing.is_signed(PUBLIC, b"m", other)


WRONG = [
    ({"action": {"command": "reboot"}}, "Invalid value 'reboot' - at `$.action.command`"),
    ({"action": {"command": "read", "device": "meter", "twice": True}}, "unknown field `twice`"),
    ({"action": {"command": "read"}}, "missing required field `device`"),
    ({"action": {"command": "read", "device": "A b"}}, "$.action.device"),
    (
        {"action": {"command": "resend", "from_ms": 2, "to_ms": 1}},
        "a span that ends at 1970-01-01 00:00:00 UTC, before",
    ),
    ({"action": {"command": "maintenance", "from_ms": 2, "to_ms": 1}}, "a span of -0.001 seconds"),
    (
        {"action": {"command": "maintenance", "from_ms": 0, "to_ms": 10**10}},
        "115.7 days, from 1970-01-01 00:00:00 UTC to",
    ),
    ({"action": {"command": "downlink", "device": "m", "payload": "0"}}, "$.action.payload"),
    ({"action": {"command": "downlink", "device": "m", "payload": "00" * 243}}, "$.action.payload"),
    ({"action": {"command": "configure", "device": "m", "setting": "s", "value": "x" * 201}}, "$.action.value"),
    ({"action": {"command": "configure", "device": "m", "setting": "s", "value": 10**20}}, "$.action.value"),
    ({"action": {"command": "configure", "device": "m", "setting": "a.b", "value": 1}}, "$.action.setting"),
    ({"sudo": True}, "unknown field `sudo`"),
    ({"action": ...}, "missing required field `action`"),
]


@pytest.mark.parametrize(("changed", "reason"), WRONG)
def test_what_is_not_understood_whole_is_refused_and_can_still_be_answered(
    changed: dict[str, object], reason: str
) -> None:
    """Its address is readable, so that the refusal reaches who sent it."""
    text = signed(payload(**changed))
    assert commands.address(text).id == "0" * 32
    with pytest.raises(BadMessageError) as caught:
        commands.decode(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "short"},
        {"id": "G" * 32},
        {"gateway": "Gw!"},
        {"expires_at_ms": NOW_MS},
        {"expires_at_ms": NOW_MS + MAX_COMMAND_LIFE_MS + 1},
        {"expires_at_ms": 2**70},
        {"issued_at_ms": ...},
        {"issued_at_ms": 1.5},
    ],
)
def test_what_has_no_sound_address_is_no_command(changed: dict[str, object]) -> None:
    """A life is bounded: a gateway has to remember the id for so long."""
    with pytest.raises(BadMessageError):
        commands.address(signed(payload(**changed)))


def test_a_life_that_is_too_long_is_said_in_days() -> None:
    """Nobody counts milliseconds."""
    with pytest.raises(ValueError, match=r"^a life of 8 days; more than nothing, and at most 7 days$"):
        commands.Address(gateway="gw", id="0" * 32, issued_at_ms=NOW_MS, expires_at_ms=NOW_MS + 8 * 86_400_000)


def test_a_command_of_the_longest_life_is_one() -> None:
    """To the millisecond."""
    assert commands.decode(signed(payload(expires_at_ms=NOW_MS + MAX_COMMAND_LIFE_MS))).id == "0" * 32


def test_a_command_that_no_gateway_takes_is_not_sent() -> None:
    """Every length is bounded, on both sides."""
    long = command(Configure(device="m", setting="s", value='"' * 3000))
    with pytest.raises(ValueError, match="bytes; at most"):
        commands.sign(long, PRIVATE)
    with pytest.raises(BadMessageError):
        commands.open_signed(b'{"payload":"' + b"x" * MAX_COMMAND_BYTES + b'"}')


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.binary(max_size=300) | json_values.map(msgspec.json.encode))
@example(b'{"payload":"\\ud800","signature":"","key":"0000000000000000"}')
@example(b'{"payload":"\xff"}')
@example(b"[" * 2000)
def test_rubbish_ends_in_our_error_and_nothing_else(message: bytes) -> None:
    """A command from whoever reaches the topic."""
    for decode in (commands.open_signed, commands.decode_reply):
        with suppress(BadMessageError):
            assert decode(message) is not None


@pytest.mark.slow
@given(st.text() | json_values.map(lambda value: msgspec.json.encode(value).decode()))
@example("[" * 3000)
@example("\x00")
def test_rubbish_under_a_signature_ends_in_our_error_too(text: str) -> None:
    """City IT may have a bad day."""
    for decode in (commands.address, commands.decode):
        with pytest.raises(BadMessageError):
            decode(signed(text))


@given(st.sampled_from(["gateway", "id", "issued_at_ms", "expires_at_ms", "action"]), json_values)
def test_any_member_may_be_anything(member: str, value: object) -> None:
    """It is understood or refused."""
    text = signed(payload(**{member: value}))
    try:
        assert commands.decode(text).action is not None
    except BadMessageError:
        return


def test_a_reply_arrives_as_it_was() -> None:
    """With its result; a member of a later release is skipped."""
    reply = Reply("0" * 32, "gw", "done", "read", {"readings": []})
    assert commands.decode_reply(commands.encode_reply(reply)) == reply
    later = commands.encode_reply(reply)[:-1] + b',"cost":1}'
    assert commands.decode_reply(later) == reply


def test_a_reply_stays_within_its_bounds() -> None:
    """A result that is too long is left out, and the text says so."""
    sent = commands.encode_reply(Reply("0" * 32, "gw", "done", "y" * 1000, {"x": "x" * MAX_PAYLOAD_BYTES}))
    reply = commands.decode_reply(sent)
    assert reply.result is None
    assert reply.text.endswith("(the result is too long to be sent)")
    assert len(reply.text) <= MAX_REASON_CHARS
    with pytest.raises(BadMessageError):
        commands.decode_reply(b" " * (MAX_PAYLOAD_BYTES + 1))


def test_keys_are_text() -> None:
    """What is no key is refused without being repeated."""
    assert signing.read_key(signing.write_key(PRIVATE)) == PRIVATE
    for text in ("", "secret", "A" * 44, signing.write_key(PRIVATE) + "\n", signing.write_key(bytes(33))):
        with pytest.raises(ValueError, match="no Ed25519 key") as caught:
            signing.read_key(text)
        assert not text.strip() or text.strip() not in str(caught.value)


def test_a_new_key_is_another_one() -> None:
    """And belongs to its public half."""
    first, second = signing.new_key(), signing.new_key()
    assert first != second
    assert signing.is_signed(signing.public_key(first), b"m", signing.sign(first, b"m"))
    assert not signing.is_signed(signing.public_key(second), b"m", signing.sign(first, b"m"))


def test_the_signatures_are_those_of_rfc_8032() -> None:
    """Section 7.1, test 2: whoever signs with another library is understood."""
    private = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert signing.public_key(private) == public
    assert base64.b64decode(signing.sign(private, b"\x72")) == signature
