"""Telegrams by radio: published examples, checksums, keys, and noise."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pymbusparser
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import ConfigError, PermanentError
from edge.mbus.errors import DamagedError, EncryptedError, TelegramError, UnsupportedError
from edge.wmbus import decode as command
from edge.wmbus import keys, link, telegram

if TYPE_CHECKING:
    from pathlib import Path

    from edge.mbus.telegram import Address

MODE_5 = "2E4493157856341233037A2A0020055923C95AAA26D1B2E7493B013EC4A6F6D3529B520EDFF0EA6DEFC99D6D69EBF3"
MODE_5_KEY = "0102030405060708090A0B0C0D0E0F11"
"""OMS Specification Volume 2, Annex N: a gas meter with integrated radio."""
MODE_7 = (
    "434493157856341233038C2075900F002C25B30A000021924D4F2FB66E017A75002007109058475F4BC91DF878B80A1B0F98B629024AAC72"
    "7942BFC549233C0140829B93"
)
MODE_7_WITH_CHECKSUMS = (
    "434493157856341233037AC98C2075900F002C25B30A000021924D4FBA372FB66E017A75002007109058475F4BC9D1281DF878B80A1B0F98"
    "B629024AAC7279429398BFC549233C0140829B93BAA1"
)
MODE_7_KEY = "000102030405060708090A0B0C0D0E0F"
"""The same, security profile B: derived keys and a MAC; with the checksums of frame format A."""
SESSION = "2A442D2C998734761B168D2091D37CAC21E1D68CDAFFCD3DC452BD802913FF7B1706CA9E355D6C2701CC24"
SESSION_KEY = "28F64A24988064A079AA2C807D6102AE"
"""A Kamstrup Multical 21 (wmbusmeters, simulations/simulation_aes.msg)."""
FULL = "2A442D2C998734761B168D2091D37CAC21576C7802FF207100041308190000441308190000615B7F616713"
COMPACT = "23442D2C998734761B168D2087D19EAD217F1779EDA86AB6710008190000081900007F13"
"""The same meter in the clear, with the heads of its records and without them (wmbusmeters, driver multical21)."""
CLEAR = "1844AE4C4455223368077A55000000041389E20100023B0000"


def decoded(text: str, key: str | None = None) -> telegram.RadioTelegram:
    """Decode a telegram with a key for whoever asks."""

    def key_of(address: Address) -> bytes | None:
        del address
        return bytes.fromhex(key) if key else None

    return telegram.decode(bytes.fromhex(text), key_of)


@pytest.mark.parametrize(
    ("text", "key", "number", "volume"),
    [
        (MODE_5, MODE_5_KEY, "12345678", 28504.27),
        (MODE_7, MODE_7_KEY, "12345678", 28504.27),
        (MODE_7_WITH_CHECKSUMS, MODE_7_KEY, "12345678", 28504.27),
        (SESSION, SESSION_KEY, "76348799", 6.408),
    ],
)
def test_published_examples_are_decrypted(text: str, key: str, number: str, volume: float) -> None:
    """AES-128 in mode 5, in mode 7 with derived keys and MAC, and in the link layer."""
    found = decoded(text, key)
    assert found.is_encrypted
    assert found.address.number == number
    assert next(each.value for each in found.telegram.content.records if each.quantity == "volume") == volume


@pytest.mark.parametrize(("text", "key"), [(MODE_5, MODE_5_KEY), (MODE_7, MODE_7_KEY), (SESSION, SESSION_KEY)])
def test_without_the_right_key_there_is_no_number(text: str, key: str) -> None:
    """No key is a state of its own; a wrong one is found out, bit by bit."""
    with pytest.raises(EncryptedError, match="is not known"):
        decoded(text)
    for bit in range(128):
        wrong = (int(key, 16) ^ 1 << bit).to_bytes(16, "big").hex()
        with pytest.raises(EncryptedError, match="another one"):
            decoded(text, wrong)


@pytest.mark.parametrize(("text", "key"), [(MODE_5, MODE_5_KEY), (CLEAR, None)])
def test_a_second_library_agrees(text: str, key: str | None) -> None:
    """`pymbusparser` reads the same volume."""
    ours = decoded(text, key).telegram.content.records[0]
    theirs = pymbusparser.parse(text, key=key)["records"]
    values = [each["value"]["value"] for each in theirs if each["quantities"] == ["Volume"]]
    assert [float(value) for value in values] == [ours.value]


def test_checksums_of_both_formats_are_removed_and_checked() -> None:
    """Format A in blocks, format B at the end; one wrong bit of format A is found."""
    plain = bytes.fromhex(CLEAR)
    of_b = bytes([plain[0] + 2]) + plain[1:]
    of_b += link.crc(of_b).to_bytes(2, "big")
    assert link.parse(of_b).content == link.parse(plain).content
    of_a = bytes.fromhex(MODE_7_WITH_CHECKSUMS)
    assert link.parse(of_a) == link.parse(bytes.fromhex(MODE_7))
    for bit in range(8, 8 * len(of_a)):
        wrong = bytearray(of_a)
        wrong[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedError):
            link.parse(bytes(wrong))


def test_where_checksums_must_be_a_wrong_one_is_found_in_either_format() -> None:
    """A length that was damaged so that it fits a telegram without checksums does not help."""
    plain = bytes.fromhex(CLEAR)
    of_b = bytes([plain[0] + 2]) + plain[1:]
    of_b += link.crc(of_b).to_bytes(2, "big")
    assert link.parse(of_b, "B").content == link.parse(plain, "plain").content
    of_a = bytes.fromhex(MODE_7_WITH_CHECKSUMS)
    assert link.parse(of_a, "A") == link.parse(bytes.fromhex(MODE_7))
    for data, form in ((of_a, "A"), (of_b, "B")):
        for bit in range(8 * len(data)):
            wrong = bytearray(data)
            wrong[bit // 8] ^= 1 << bit % 8
            with pytest.raises(DamagedError):
                link.parse(bytes(wrong), form)  # type: ignore[arg-type] # mypy widens the literals of a loop
        with pytest.raises(DamagedError):
            link.parse(bytes([len(data) - 1]) + data[1:-2], form)  # type: ignore[arg-type]
    blocks = 1 + -(-(of_a[0] + 1 - 10) // 16)
    with pytest.raises(DamagedError, match="as many bytes fewer"):
        link.parse(of_a[: -2 * blocks])


def test_a_damaged_telegram_tells_its_sender_only_by_a_right_checksum() -> None:
    """Of the first block; a telegram without checksums tells nobody's."""
    of_a = bytearray.fromhex(MODE_7_WITH_CHECKSUMS)
    sender = link.parse(bytes(of_a)).sender
    assert link.sender_of(bytes(of_a[:12])) == link.sender_of(bytes(of_a[:-1])) == sender
    assert link.sender_of(bytes(of_a[:11])) is None
    assert link.sender_of(bytes.fromhex(MODE_7)) is None
    of_a[5] ^= 1
    assert link.sender_of(bytes(of_a)) is None


def test_a_long_telegram_of_format_b_has_two_checksums() -> None:
    """At 126 bytes, and at the end."""
    plain = bytes([149]) + bytes.fromhex(CLEAR)[1:] + b"\x2f" * 200
    body = plain[:146]
    data = body[:126] + link.crc(body[:126]).to_bytes(2, "big") + body[126:]
    data += link.crc(body[126:]).to_bytes(2, "big")
    assert len(data) == 150
    assert link.parse(data).content == body[11:]
    with pytest.raises(DamagedError):
        link.parse(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", DamagedError),
        ("0944", DamagedError),
        (CLEAR[:-2], DamagedError),
        ("0C44AE4C445522336807A20000", UnsupportedError),
        ("0B44AE4C4455223368077A5500", DamagedError),
        ("1044AE4C445522336807790102030405", DamagedError),
        ("1144AE4C44552233680779010203040506AA", UnsupportedError),
        ("1644AE4C4455223368077A550010090405060708090A0B"[:46], EncryptedError),
        ("0E44AE4C445522336807900003007A", DamagedError),
        ("1144AE4C4455223368079002004055667788", UnsupportedError),
    ],
)
def test_what_cannot_be_read_is_said(text: str, kind: type[TelegramError]) -> None:
    """Cut ones, makers' own, compact ones before a full one, unknown modes, fragments."""
    with pytest.raises(kind):
        decoded(text)


def test_a_compact_telegram_is_read_by_the_heads_of_a_full_one() -> None:
    """A Kamstrup meter sends its heads now and then only; before they came nobody knows what its digits mean."""
    decoder = telegram.Decoder(lambda _: None)
    with pytest.raises(UnsupportedError, match="no full one came yet"):
        decoder.decode(bytes.fromhex(COMPACT))
    full, compact = (decoder.decode(bytes.fromhex(text)).telegram.content.records for text in (FULL, COMPACT))
    assert [(each.quantity, each.value, each.storage) for each in compact[1:3]] == [
        ("volume", 6.408, 0),
        ("volume", 6.408, 1),
    ]
    assert compact == full


@pytest.mark.parametrize(
    ("spoiled", "why"), [(b"\x09", "wrong checksum"), (b"", "too short"), (b"\x08\x00", "too long")]
)
def test_a_compact_telegram_that_does_not_fit_is_refused(spoiled: bytes, why: str) -> None:
    """The checksum of the full telegram is in it: another digit, one too few or too many gives no number."""
    decoder = telegram.Decoder(lambda _: None)
    decoder.decode(_in_the_clear(bytes.fromhex("78 0413 08190000")))
    compact = b"\x79" + link.crc(b"\x04\x13").to_bytes(2, "little")
    compact += link.crc(bytes.fromhex("0413 08190000")).to_bytes(2, "little") + bytes.fromhex("190000")
    assert decoder.decode(_in_the_clear(compact[:5] + b"\x08" + compact[5:])).telegram.content.records
    with pytest.raises(DamagedError, match=why):
        decoder.decode(_in_the_clear(compact[:5] + spoiled + compact[5:]))


def test_what_is_not_encrypted_must_have_its_checksum() -> None:
    """The extended link layer has one of its own before the payload: without a key it is all that proves it."""
    payload = bytes.fromhex("78 0413 08190000")
    good = b"\x8d\x20\x01\x00\x00\x00\x00" + link.crc(payload).to_bytes(2, "little")
    assert telegram.decode(_in_the_clear(good + payload)).telegram.content.records[0].value == 6.408
    with pytest.raises(DamagedError, match="wrong checksum of the extended link layer"):
        telegram.decode(_in_the_clear(good + payload.replace(b"\x08", b"\x09")))


def _in_the_clear(content: bytes) -> bytes:
    """Let a meter send this, from its control information field on."""
    body = bytes.fromhex("44AE4C445522336807") + content
    return bytes([len(body)]) + body


@settings(max_examples=300, derandomize=True)
@given(st.binary(max_size=260))
def test_noise_is_no_telegram(data: bytes) -> None:
    """Whatever comes is refused in our words, or is a telegram."""
    try:
        telegram.decode(data)
    except TelegramError:
        return
    assert data[0] >= link.LEAST_LENGTH


@settings(max_examples=600, derandomize=True)
@given(
    st.sampled_from([0x72, 0x7A, 0x78, 0x79, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0xA2]),
    st.binary(max_size=100),
    st.binary(min_size=16, max_size=16),
)
def test_any_content_is_read_or_refused(information: int, content: bytes, key: bytes) -> None:
    """In every layer, with a key: no other error than ours, and every value is finite and plain."""
    data = bytes.fromhex("44AE4C445522336807") + bytes([information]) + content
    try:
        found = telegram.decode(bytes([len(data)]) + data, lambda _: key)
    except TelegramError:
        return
    text = json.dumps(command._object(found.sender, found, ""), allow_nan=False)
    assert json.loads(text)["sender"]["number"] == "33225544"


@settings(max_examples=200, derandomize=True)
@given(st.data())
def test_a_disturbed_encrypted_telegram_gives_no_value(data: st.DataObject) -> None:
    """The MAC of mode 7 covers all that it encrypts."""
    whole = bytes.fromhex(MODE_7)
    at = data.draw(st.integers(33, len(whole) - 1))
    wrong = data.draw(st.integers(1, 255))
    changed = whole[:at] + bytes([whole[at] ^ wrong]) + whole[at + 1 :]
    with pytest.raises(TelegramError):
        telegram.decode(changed, lambda _: bytes.fromhex(MODE_7_KEY))


def test_keys_come_from_a_file_of_mode_0600(tmp_path: Path) -> None:
    """Comments are skipped; a number twice, other lines and a readable file are refused without showing a key."""
    file = tmp_path / "keys"
    file.write_text(f"# two\n12345678: {MODE_5_KEY}\n7634879A {SESSION_KEY}  # hall\n")
    file.chmod(0o600)
    assert keys.load(file) == {"12345678": bytes.fromhex(MODE_5_KEY), "7634879A": bytes.fromhex(SESSION_KEY)}
    for text in (
        f"12345678: {MODE_5_KEY}\n12345678: {SESSION_KEY}\n",
        f"12345678: {MODE_5_KEY}0\n",
        f"1: {MODE_5_KEY}",
    ):
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            keys.load(file)
        assert MODE_5_KEY not in str(caught.value)
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="0600"):
        keys.load(file)


def test_a_key_that_is_added_is_used(tmp_path: Path) -> None:
    """The file may come later, and change: it is looked at again, and a broken one leaves the keys as they were."""
    now = [0.0]
    file = tmp_path / "keys"
    found = keys.KeyFile(file, lambda: now[0])
    address = link.parse(bytes.fromhex(MODE_5)).sender
    assert found(address) is None
    file.write_text(f"12345678: {MODE_5_KEY}\n")
    file.chmod(0o600)
    assert found(address) is None
    now[0] += keys.LOOK_AGAIN_S
    assert found(address) == bytes.fromhex(MODE_5_KEY)
    file.write_text(f"12345678: {SESSION_KEY}\n")
    os.utime(file, ns=(0, 1))  # another time than before, also on a disk that keeps no fractions of a second
    now[0] += keys.LOOK_AGAIN_S
    assert found(address) == bytes.fromhex(SESSION_KEY)
    file.write_text("broken\n")
    now[0] += keys.LOOK_AGAIN_S
    assert found(address) == bytes.fromhex(SESSION_KEY)


def test_a_telegram_on_the_command_line_is_shown(tmp_path: Path) -> None:
    """Without the key it says who sent it, and that it is encrypted; with it, every record."""
    shown = CliRunner().invoke(command.decode, [MODE_5])
    assert shown.exit_code == 0
    assert "12345678" in shown.output
    assert "is not known" in shown.output
    file = tmp_path / "keys"
    file.write_text(f"12345678: {MODE_5_KEY}\n")
    file.chmod(0o600)
    as_json = CliRunner().invoke(command.decode, [MODE_5, "--key-file", str(file), "--json"])
    (found,) = json.loads(as_json.output)
    assert (found["encrypted"], found["records"][0]["value"]) == (True, 28504.27)
    assert "28504.27 m3" in CliRunner().invoke(command.decode, [MODE_5, "--key-file", str(file)]).output
    assert isinstance(CliRunner().invoke(command.decode, ["0944"]).exception, PermanentError)
    lines = tmp_path / "of_two_meters.txt"
    lines.write_text(f"|{CLEAR[:22]}_{CLEAR[22:]}|\n{MODE_5}\n")
    found = json.loads(CliRunner().invoke(command.decode, [str(lines), "--json"]).output)
    assert [each["encrypted"] for each in found] == [False, True]
