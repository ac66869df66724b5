"""The packet forwarder's protocol: its traps as cases, and whatever else may come."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.lorawan import gwmp
from edge.lorawan.concentrators import MOST_CONCENTRATORS, Concentrators
from edge.lorawan.duty import Duty
from edge.lorawan.eu868 import DATA_RATES
from edge.lorawan.gwmp import Datagram, DatagramError, Kind, Transmission
from edge.lorawan.udp import driver

CASES = sorted((Path(driver.__file__).parent / "cases").iterdir())
EUI = "b827ebfffe000001"
SHOWN = ("tmst", "frequency_hz", "coding_rate", "rssi_dbm", "snr_db")


def _push(body: bytes) -> Datagram:
    return gwmp.parse(b"\x02\x12\x34\x00" + bytes.fromhex(EUI) + body)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_read_as_expected(case: Path) -> None:
    """Each is a trap of some forwarder, or a damage that costs itself alone."""
    datagram = _push((case / "push.json").read_bytes())
    if (case / "error.txt").exists():
        with pytest.raises(DatagramError, match=(case / "error.txt").read_text().strip()):
            gwmp.pushed(datagram, 0.0)
        return
    heard = gwmp.pushed(datagram, 0.0)
    shown = [
        {"phy": each.phy.hex(), "rate": each.rate.name} | {name: getattr(each, name) for name in SHOWN}
        for each in heard.receptions
    ]
    found = {"damaged": heard.damaged, "unreadable": heard.unreadable, "receptions": shown}
    assert found == json.loads((case / "expected.json").read_text())


def test_answers_carry_version_and_token() -> None:
    """A forwarder of version 1 is answered in its own."""
    assert gwmp.acknowledge(_push(b"{}")) == b"\x02\x12\x34\x01"
    pull = gwmp.parse(b"\x01\xaa\xbb\x02" + bytes(8))
    assert gwmp.acknowledge(pull) == b"\x01\xaa\xbb\x04"


def test_a_downlink_is_ordered_as_the_forwarder_wants_it() -> None:
    """LoRa with inverted polarity and without CRC; FSK with its deviation."""
    datagram = gwmp.pull_resp(Transmission(b"\x60\x01", 2**32 + 5, 868_100_000, DATA_RATES[5], 14), b"\x01\x02")
    assert datagram[:4] == b"\x02\x01\x02\x03"
    txpk = json.loads(datagram[4:])["txpk"]
    assert txpk == {
        "imme": False,
        "tmst": 5,
        "freq": 868.1,
        "rfch": 0,
        "powe": 14,
        "modu": "LORA",
        "datr": "SF7BW125",
        "codr": "4/5",
        "ipol": True,
        "prea": 8,
        "ncrc": True,
        "size": 2,
        "data": "YAE=",
    }
    fsk = Transmission(b"\x60", 5, 868_800_000, DATA_RATES[7], 14).body()
    assert (fsk["modu"], fsk["datr"], fsk["fdev"]) == ("FSK", 50_000, 25_000)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", None),
        (b"\0", None),
        (b"{}", None),
        (b'{"txpk_ack":{"error":"NONE"}}', None),
        (b'{"txpk_ack":{"error":"TOO_LATE"}}', "TOO_LATE"),
        (b'{"txpk_ack":{"warn":"TX_POWER","value":14}}', None),
    ],
)
def test_a_tx_ack_says_whether_a_frame_will_be_sent(body: bytes, error: str | None) -> None:
    """No word at all means yes."""
    assert gwmp.tx_error(gwmp.parse(b"\x02\x12\x34\x05" + bytes.fromhex(EUI) + body)) == error


@given(st.binary(max_size=200), st.sampled_from(["", "=", "=="]))
@settings(max_examples=200, derandomize=True)
def test_base64_is_read_however_it_is_written(data: bytes, padding: str) -> None:
    """Padded, unpadded, and in either alphabet."""
    usual = base64.b64encode(data).decode()
    assert gwmp.decode_base64(usual) == data
    assert gwmp.decode_base64(usual.rstrip("=") + padding) == data
    assert gwmp.decode_base64(base64.urlsafe_b64encode(data).decode().rstrip("=")) == data


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=10,
)
RXPK: Any = st.fixed_dictionaries(
    {},
    optional={
        "tmst": st.integers(0, 2**32 - 1) | st.floats() | JSON,
        "freq": st.sampled_from([868.1, 867.5, 869.525]) | st.floats() | JSON,
        "datr": st.sampled_from(["SF7BW125", "SF12BW125", 50000]) | JSON,
        "data": st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode()) | JSON,
        "stat": st.sampled_from([1, 1, -1, 0]) | JSON,
        "modu": st.sampled_from(["LORA", "LORA", "FSK"]) | JSON,
        "rssi": st.floats(-140, 0) | JSON,
        "lsnr": st.floats(-25, 15) | JSON,
        "rsig": JSON,
        "tmms": JSON,
        "rfch": JSON,
    },
)
BODIES = st.builds(lambda rxpk: json.dumps({"rxpk": rxpk}).encode(), st.lists(RXPK, max_size=4) | JSON)
DATAGRAMS = st.one_of(
    st.binary(max_size=80),
    st.builds(
        lambda version, kind, body: bytes([version, 0, 1, kind]) + bytes.fromhex(EUI) + body,
        st.sampled_from([1, 2, 2, 3]),
        st.integers(0, 7),
        BODIES | st.binary(max_size=60),
    ),
)


@pytest.mark.slow
@given(st.lists(DATAGRAMS, max_size=6))
@settings(max_examples=400, derandomize=True)
def test_whatever_comes_is_taken_or_counted(datagrams: list[bytes]) -> None:
    """No exception leaves the socket, and nothing is forgotten: a datagram is one of a known kind, or rubbish."""

    async def feed() -> None:
        concentrators = Concentrators("roof", ())
        for datagram in datagrams:
            concentrators.datagram(datagram, ("127.0.0.1", 9))
        assert concentrators.counts["datagrams"] == len(datagrams)

    asyncio.run(feed())


def test_who_makes_concentrators_up_keeps_none_out() -> None:
    """One that is there is heard whenever it comes, and one that has asked lately is not forgotten for another."""
    now_s, real, late = 1000.0, bytes.fromhex("aa" * 8), bytes.fromhex("bb" * 8)
    concentrators = Concentrators("roof", (), lambda: now_s)

    async def feed() -> None:
        concentrators.datagram(bytes([2, 0, 1, Kind.PULL_DATA]) + real, ("127.0.0.1", 9))
        for number in range(3 * MOST_CONCENTRATORS):
            concentrators.datagram(bytes([2, 0, 1, Kind.PUSH_DATA]) + number.to_bytes(8, "big") + b"{}", ("", 1))
        concentrators.datagram(bytes([2, 0, 1, Kind.PULL_DATA]) + late, ("127.0.0.1", 9))

    asyncio.run(feed())
    assert concentrators.can_send(real.hex())
    assert concentrators.can_send(late.hex())
    assert len(concentrators._known) == MOST_CONCENTRATORS


def test_no_json_nests_deep_enough_to_end_the_agent() -> None:
    """One datagram holds thirty thousand brackets."""
    with pytest.raises(DatagramError):
        gwmp.pushed(_push(b'{"rxpk":' + b"[" * 30_000), 0.0)
    heard = gwmp.pushed(_push(b'{"rxpk":[{"rsig":' + b"[" * 900 + b"]" * 900 + b"}]}"), 0.0)
    assert heard.unreadable == 1


def test_more_frames_than_a_concentrator_can_have_heard_are_not_read() -> None:
    """A datagram is bounded in what it costs."""
    entry = {"tmst": 1, "freq": 868.1, "datr": "SF7BW125", "data": "QPF9"}
    heard = gwmp.pushed(_push(json.dumps({"rxpk": [entry] * 70}).encode()), 0.0)
    assert (len(heard.receptions), heard.unreadable) == (gwmp.MAX_FRAMES, 6)


def test_tokens_are_those_of_a_known_kind() -> None:
    """What a server sends is none of a concentrator's datagrams."""
    for kind in (Kind.PUSH_ACK, Kind.PULL_RESP, Kind.PULL_ACK):
        with pytest.raises(DatagramError):
            gwmp.parse(bytes([2, 0, 0, kind]) + bytes(8))


def test_the_duty_cycle_is_of_the_last_hour() -> None:
    """36 seconds in a band of 1 %; what was not sent after all does not count."""
    duty = Duty()
    duty.book(868_100_000, 20.0, 0.0)
    duty.book(868_300_000, 15.0, 1800.0)  # the same band
    assert not duty.allows(868_500_000, 2.0, 3599.0)
    assert duty.allows(867_100_000, 2.0, 3599.0)  # another one
    assert duty.allows(868_500_000, 2.0, 3601.0)
    duty.take_back(868_300_000, 15.0, 1800.0)
    assert duty.allows(868_500_000, 36.0, 3601.0)
    assert not duty.allows(868_650_000, 0.1, 0.0)  # between the bands nobody sends
