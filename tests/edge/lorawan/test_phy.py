"""LoRaWAN frames and their cryptography, against frames and keys that others published."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lorawan_site import MEMBERS

from edge.lorawan import crypto, eu868, phy
from edge.lorawan.concentrators import Concentrators
from edge.lorawan.crypto import SessionKeys
from edge.lorawan.decode import explain
from edge.lorawan.gwmp import Reception
from edge.lorawan.network import Network
from edge.lorawan.phy import Accept, Data, FrameError, JoinAccept, JoinRequest, MType
from edge.lorawan.state import State

UPSTREAM = {
    "40f7ec10e081000002015a171220b0c6d6470fc3": {"NwkSKey": "17da125f3d55b28cc16a8111bd1d6c0b"},
    "00010000000000000001000000000000000ce83685eb17": {"AppKey": "01" * 16},
    "40736310e080000000c86c36165131": {
        "FNwkSIntKey": "e163635133105cc690cb2d57ba9c31b9",
        "SNwkSIntKey": "05ec7c795b2f0b5bcdfa710db52b9d8f",
    },
}
"""The keys of the frames that the recorded data list without: lora-packet's own tests (MIT), __tests__/mic_test.ts."""
OTHER_MIC = "67349eae"
"""Listed for the first of them; lora-packet's test has it in a line that is commented out, of keys that it
does not name. The MIC by the published key is the one that the frame carries."""
KEYS = SessionKeys(bytes(range(16)), bytes(range(16, 32)))


def _rows(shared_data: Path) -> list[dict[str, str]]:
    lines = (shared_data / "lorawan" / "phy-frames.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_every_recorded_mic_is_computed(shared_data: Path) -> None:
    """Data frames up and down, join requests and accepts; also where the frame itself carries another one."""
    computed = 0
    for row in (row for row in _rows(shared_data) if "mic" in row):
        octets = bytes.fromhex(row["phy_payload"])
        keys = {
            name: bytes.fromhex(key) for name, key in (UPSTREAM.get(row["phy_payload"]) or row).items() if "Key" in name
        }
        expected = octets[-4:].hex() if row["mic"] == OTHER_MIC else row["mic"]
        assert _mic(octets, keys).hex() == expected, row
        computed += 1
    assert computed == 8


def _mic(octets: bytes, keys: dict[str, bytes]) -> bytes:
    frame = phy.parse(octets)
    if isinstance(frame, JoinRequest):
        return crypto.join_request_mic(keys["AppKey"], frame)
    if isinstance(frame, JoinAccept):  # these stand in the clear
        return crypto.accept_mic(keys["AppKey"], frame.encrypted[:-4])
    assert isinstance(frame, Data)
    if "SNwkSIntKey" in keys:
        return crypto.data_mic_1_1(
            keys["FNwkSIntKey"], keys["SNwkSIntKey"], frame, frame.f_cnt, bytes.fromhex("00000001")
        )
    return crypto.data_mic(keys["NwkSKey"], frame, frame.f_cnt)


def test_every_recorded_payload_is_decrypted(shared_data: Path) -> None:
    """Also what a wrong key makes of it."""
    rows = [row for row in _rows(shared_data) if "plain_hex" in row]
    for row in rows:
        frame = phy.parse(bytes.fromhex(row["phy_payload"]))
        assert isinstance(frame, Data)
        assert crypto.crypt(bytes.fromhex(row["AppSKey"]), frame, frame.f_cnt).hex() == row["plain_hex"]
    assert len(rows) == 2


def test_a_join_accept_is_encrypted_as_others_do() -> None:
    """lora-packet's own example (MIT), __tests__/join_accept_encrypt.ts: all zero."""
    sealed = crypto.seal_accept(bytes(16), Accept(0, 0, 0, rx_delay_s=0))
    assert sealed.hex() == "20e3de108795f776b8037610ef7869b5b3"
    opened = crypto.open_accept(bytes(16), sealed[1:])
    assert opened is not None
    assert (opened.mic.hex(), opened.rx_delay_s) == ("f86f0a91", 1)
    assert crypto.open_accept(bytes(15) + b"\1", sealed[1:]) is None


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ("", "0 octets"),
        ("40010203", "4 octets"),
        ("40" + "00" * 10, "a data frame of 11 octets"),
        ("40" + "00" * 255, "256 octets"),
        ("41" + "00" * 11, "major version 1"),
        ("00" + "00" * 21, "a join request of 22 octets"),
        ("20" + "00" * 17, "a join accept of 18 octets"),
        ("4001020304" + "0f" + "0000" + "00" * 4, "15 octets of FOpts, of which 0"),
        ("4001020304" + "01" + "0000" + "02" + "00" + "00" * 4, "both in FOpts and on port 0"),
    ],
)
def test_what_is_no_frame_is_refused(frame: str, says: str) -> None:
    """Each says what is wrong with it."""
    with pytest.raises(FrameError, match=says):
        phy.parse(bytes.fromhex(frame))


@pytest.mark.slow
@given(st.binary(max_size=300))
@settings(max_examples=500, derandomize=True)
def test_any_octets_are_a_frame_or_refused(octets: bytes) -> None:
    """No exception type but ours."""
    try:
        frame = phy.parse(octets)
    except FrameError:
        return
    if isinstance(frame, Data):
        crypto.crypt(KEYS.app_s_key, frame, frame.f_cnt)
    if isinstance(frame, JoinAccept):
        crypto.open_accept(KEYS.app_s_key, frame.encrypted)


FRAMES = st.builds(
    Data,
    mtype=st.sampled_from([MType.UNCONFIRMED_UP, MType.UNCONFIRMED_DOWN, MType.CONFIRMED_UP, MType.CONFIRMED_DOWN]),
    dev_addr=st.integers(0, 2**32 - 1),
    f_cnt=st.integers(0, 2**32 - 1),
    f_port=st.integers(1, 223),
    payload=st.binary(max_size=222),
    f_opts=st.binary(max_size=15),
    adr=st.booleans(),
    ack=st.booleans(),
    f_pending=st.booleans(),
    adr_ack_req=st.just(value=False),
    mic=st.just(b""),
    signed=st.just(b""),
)


@given(FRAMES)
@settings(max_examples=300, derandomize=True)
def test_a_frame_comes_back_as_it_was(frame: Data) -> None:
    """Built, encrypted and signed; parsed, checked and decrypted."""
    parsed = phy.parse(crypto.seal(KEYS, frame, frame.f_cnt))
    assert isinstance(parsed, Data)
    assert crypto.is_mic(parsed.mic, crypto.data_mic(KEYS.nwk_s_key, parsed, frame.f_cnt))
    assert not crypto.is_mic(parsed.mic, crypto.data_mic(KEYS.nwk_s_key, parsed, frame.f_cnt ^ 0x10000))
    plain: dict[str, Any] = parsed._asdict() | {"payload": crypto.crypt(KEYS.app_s_key, parsed, frame.f_cnt)}
    assert plain | {"mic": b"", "signed": b""} == frame._asdict() | {"f_cnt": frame.f_cnt & 0xFFFF}


FRAME_LIKE = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda first, rest: bytes([first]) + rest, st.sampled_from([0x00, 0x20, 0x40, 0x80]), st.binary(max_size=32)
    ),
    st.builds(lambda rest: bytes.fromhex("40da1b0126") + rest, st.binary(min_size=4, max_size=40)),
)
"""Anything; frames of each kind; and frames that name a device of the site."""


@pytest.mark.slow
@given(st.lists(FRAME_LIKE, max_size=5))
@settings(max_examples=150, derandomize=True)
def test_no_frame_ends_the_network_server(frames: list[bytes]) -> None:
    """Whatever is heard is counted, and nothing of it is a fault of ours or becomes an uplink."""

    async def hear() -> None:
        state = State(Path(directory) / "state.sqlite")
        network = Network("roof", state, Concentrators("roof", ()))
        network.serve(MEMBERS)
        for frame in frames:
            network.frame([Reception("b827ebfffe000001", frame, 0, 868_100_000, eu868.DATA_RATES[5])])
        while network._tasks:  # noqa: ASYNC110 - they end by themselves
            await asyncio.sleep(0)
        counts = network.counts
        assert counts["faults"] == 0
        assert sum(counts[name] for name in ("rubbish", "foreign", "bad_mic", "join_bad_mic")) == len(frames)
        assert network.uplinks.empty()
        await network.close()
        state.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(hear())


@given(st.binary(max_size=60))
@settings(max_examples=300, derandomize=True)
def test_any_octets_are_explained_or_refused(octets: bytes) -> None:
    """With and without keys; what is said is JSON."""
    for keys in ({}, {eui: member.keys for eui, member in MEMBERS.items()}):
        try:
            said = explain(octets, keys)
        except FrameError:
            continue
        assert json.loads(json.dumps(said))["size"] == len(octets)
