"""The network server against frames that another implementation built."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from lora_packet import Keys
from lorawan_site import APP_KEY, FIXED, HOST, JOINER, KEYS, MEMBERS, device_keys, in_loop, run_site

from base.errors import PermanentError
from edge.lorawan import eu868
from edge.lorawan.adr import FRAMES
from edge.lorawan.network import MOST_REPEATS, Member
from simulator.concentrator import Air, Concentrator

if TYPE_CHECKING:
    from pathlib import Path

    from lora_packet import LoraPacket
    from lorawan_site import Site

    from edge.lorawan.network import Received
    from simulator.concentrator import Ordered

pytestmark = pytest.mark.slow
"""Each frame waits for the window in which other concentrators may report it too."""

WAIT_S = 20
RX1_US, RX2_US, JOIN_RX1_US = 1_000_000, 2_000_000, 5_000_000
"""Microseconds from an uplink's end to the windows."""
OTHER_EUI = "b827ebfffe000002"
NOTHING = 0.6
"""Seconds in which nothing comes."""


async def _uplink(site: Site) -> Received:
    async with asyncio.timeout(WAIT_S):
        return await site.network.uplinks.get()


async def _ordered(concentrator: Concentrator) -> Ordered:
    async with asyncio.timeout(WAIT_S):
        return await concentrator.ordered.get()


async def _until(site: Site, **counts: int) -> None:
    """Wait until so much was counted."""
    async with asyncio.timeout(WAIT_S):
        while any(site.network.counts[name] < count for name, count in counts.items()):  # noqa: ASYNC110 - a counter
            await asyncio.sleep(0.01)


async def _join(site: Site, packets: LoraPacket, nonce: int) -> tuple[dict[str, Any], Ordered, int]:
    tmst = site.concentrator.push(packets.join_request(APP_KEY, JOINER, nonce))
    ordered = await _ordered(site.concentrator)
    return packets.open_accept(APP_KEY, ordered.phy, nonce), ordered, tmst


def _keys(accept: dict[str, Any]) -> Keys:
    return Keys(accept["dev_addr"], accept["nwk_s_key"], accept["app_s_key"])


@in_loop
async def test_a_device_joins_and_speaks(tmp_path: Path, packets: LoraPacket) -> None:
    """The accept comes in RX1, five seconds after the request, and opens a session that works both ways."""
    async with run_site(tmp_path / "state") as site:
        accept, ordered, tmst = await _join(site, packets, 7)
        assert accept["mic_ok"]
        assert (accept["rx_delay_s"], accept["net_id"], accept["fourth_channel"]) == (1, "000000", 8671000)
        assert ordered.txpk["tmst"] == (tmst + JOIN_RX1_US) & 0xFFFFFFFF
        assert (ordered.txpk["freq"], ordered.txpk["datr"], ordered.txpk["ipol"]) == (868.1, "SF7BW125", True)
        site.concentrator.push(packets.uplink(_keys(accept), 0, b"\x01\x02", f_port=5))
        received = await _uplink(site)
        uplink = received.uplink
        assert (uplink.dev_eui, uplink.f_port, uplink.f_cnt, uplink.payload) == (JOINER, 5, 0, b"\x01\x02")
        assert (uplink.radio.rssi_dbm, uplink.radio.spreading_factor, uplink.radio.receptions) == (-57, 7, 1)
        assert uplink.radio.frequency_hz == 868_100_000


@in_loop
async def test_a_used_nonce_is_refused(tmp_path: Path, packets: LoraPacket) -> None:
    """Also after a restart; the session of the device stays as it is. A new nonce is taken."""
    file = tmp_path / "state"
    async with run_site(file) as site:
        first, _, _ = await _join(site, packets, 7)
    async with run_site(file) as site:
        site.concentrator.push(packets.join_request(APP_KEY, JOINER, 7))
        await _until(site, join_refused=1)
        assert site.network.refused[JOINER] == 1
        site.concentrator.push(packets.uplink(_keys(first), 0, b"x"))
        assert (await _uplink(site)).uplink.payload == b"x"
        second, _, _ = await _join(site, packets, 8)
        assert second["join_nonce"] == first["join_nonce"] + 1
        assert second["nwk_s_key"] != first["nwk_s_key"]


@in_loop
async def test_a_join_with_another_key_is_refused(tmp_path: Path, packets: LoraPacket) -> None:
    """Its nonce is not used up by it, and an unknown device is not answered."""
    async with run_site(tmp_path / "state") as site:
        site.concentrator.push(packets.join_request("00" * 16, JOINER, 7))
        site.concentrator.push(packets.join_request(APP_KEY, "0102030405060708", 7))
        await _until(site, join_bad_mic=1, foreign=1)
        assert (await _join(site, packets, 7))[0]["mic_ok"]


@in_loop
async def test_the_old_session_holds_until_the_new_one_is_used(tmp_path: Path, packets: LoraPacket) -> None:
    """The device may not have heard the accept; once it speaks in the new session, the old one is over."""
    async with run_site(tmp_path / "state") as site:
        old = _keys((await _join(site, packets, 1))[0])
        site.concentrator.push(packets.uplink(old, 0, b"a"))
        assert (await _uplink(site)).uplink.payload == b"a"
        new = _keys((await _join(site, packets, 2))[0])
        site.concentrator.push(packets.uplink(old, 1, b"b"))
        assert (await _uplink(site)).uplink.payload == b"b"
        site.concentrator.push(packets.uplink(new, 0, b"c"))
        received = await _uplink(site)
        assert (received.uplink.payload, received.lost) == (b"c", 0)
        site.concentrator.push(packets.uplink(old, 2, b"d"))
        await _until(site, foreign=1)
        assert site.network.uplinks.empty()


@in_loop
async def test_a_confirmed_uplink_is_acknowledged_in_rx1(tmp_path: Path, packets: LoraPacket) -> None:
    """One second after it, on its channel and data rate; the same again where the device repeats it, and read once."""
    air = Air(datr="SF9BW125", freq_mhz=867.3)
    async with run_site(tmp_path / "state") as site:
        frame = packets.uplink(KEYS, 4, b"x", confirmed=True)
        tmst = site.concentrator.push(frame, air)
        ordered = await _ordered(site.concentrator)
        assert ordered.txpk["tmst"] == (tmst + RX1_US) & 0xFFFFFFFF
        assert (ordered.txpk["freq"], ordered.txpk["datr"], ordered.txpk["powe"]) == (867.3, "SF9BW125", 14)
        first = packets.open_downlink(KEYS, ordered.phy)
        assert (first["ack"], first["mic_ok"], first["f_cnt"], first["payload"]) == (True, True, 0, "")
        site.concentrator.push(frame, air)
        second = packets.open_downlink(KEYS, (await _ordered(site.concentrator)).phy)
        assert (second["ack"], second["mic_ok"], second["f_cnt"]) == (True, True, 1)
        assert (await _uplink(site)).uplink.is_confirmed
        assert (site.network.uplinks.qsize(), site.network.counts["duplicates"]) == (0, 1)


@in_loop
async def test_who_repeats_a_frame_for_ever_is_not_answered_for_ever(tmp_path: Path, packets: LoraPacket) -> None:
    """A device repeats eight times; each answer uses up a number that cannot be used again."""
    async with run_site(tmp_path / "state") as site:
        frame = packets.uplink(KEYS, 4, b"x", confirmed=True)
        for count in range(MOST_REPEATS + 3):
            site.concentrator.push(frame)
            await _until(site, frames=count + 1)
        await _until(site, duplicates=MOST_REPEATS + 2, downlinks=MOST_REPEATS + 1)
        await asyncio.sleep(NOTHING)
        assert site.network.counts["downlinks"] == MOST_REPEATS + 1


@in_loop
async def test_an_unconfirmed_uplink_is_not_answered(tmp_path: Path, packets: LoraPacket) -> None:
    """Every downlink makes the concentrator deaf for its length."""
    async with run_site(tmp_path / "state") as site:
        site.concentrator.push(packets.uplink(KEYS, 0, b"x"))
        await _uplink(site)
        await asyncio.sleep(NOTHING)
        assert site.concentrator.ordered.empty()


@in_loop
async def test_duplicate_replay_and_counter_reset_are_told_apart(tmp_path: Path, packets: LoraPacket) -> None:
    """None of them is read; each is counted as what it is, and a frame after them is read."""
    async with run_site(tmp_path / "state") as site:
        frames = [packets.uplink(KEYS, f_cnt, bytes([f_cnt])) for f_cnt in (40, 41, 43)]
        lost = []
        for frame in frames:
            site.concentrator.push(frame)
            lost.append((await _uplink(site)).lost)
        assert lost == [0, 0, 1]
        site.concentrator.push(frames[2])
        await _until(site, duplicates=1)
        site.concentrator.push(frames[0])
        await _until(site, replay=1)
        site.concentrator.push(packets.uplink(KEYS, 0, b"anew"))
        await _until(site, counter_reset=1)
        site.concentrator.push(packets.uplink(KEYS, 1, b"anew"))
        await _until(site, counter_reset=2)
        site.concentrator.push(packets.uplink(KEYS, 44, b"on"))
        assert (await _uplink(site)).uplink.payload == b"on"
        counts = site.network.counts
        assert (counts["duplicates"], counts["replay"], counts["counter_reset"], counts["new"]) == (1, 1, 2, 4)
        assert site.network.refused[FIXED] == 3


@in_loop
async def test_a_device_may_be_let_count_anew(tmp_path: Path, packets: LoraPacket) -> None:
    """Where its settings say so; then its frames are read, and after a restart those before it stay refused."""
    members = {FIXED: Member(FIXED, device_keys(KEYS), may_reset=True)}
    file = tmp_path / "state"
    async with run_site(file, members) as site:
        for f_cnt, payload in ((40, b"a"), (0, b"b"), (1, b"c")):
            site.concentrator.push(packets.uplink(KEYS, f_cnt, payload))
            received = await _uplink(site)
            received.before_sealing()
            assert received.uplink.payload == payload
    async with run_site(file, members) as site:
        site.concentrator.push(packets.uplink(KEYS, 1, b"c"))
        await _until(site, duplicates=1)
        site.concentrator.push(packets.uplink(KEYS, 2, b"d"))
        assert (await _uplink(site)).uplink.payload == b"d"


@in_loop
async def test_the_counter_is_32_bits_wide(tmp_path: Path, packets: LoraPacket) -> None:
    """On the air it begins anew every 65536 frames; a device may be far into them when it is first heard."""
    async with run_site(tmp_path / "state") as site:
        for f_cnt, lost in ((65_534, 0), (65_537, 2), (0x2FFFF, 65_535), (0x30000, 0)):
            site.concentrator.push(packets.uplink(KEYS, f_cnt, b"x"))
            received = await _uplink(site)
            assert (received.uplink.f_cnt, received.lost) == (f_cnt, lost)


@in_loop
async def test_a_sealed_frame_is_not_taken_again_after_a_kill_and_an_unsealed_one_is(
    tmp_path: Path, packets: LoraPacket
) -> None:
    """What the last process had in its hands is read when the device, or anybody, sends it once more."""
    sealed, unsealed = packets.uplink(KEYS, 10, b"sealed"), packets.uplink(KEYS, 11, b"unsealed")
    async with run_site(tmp_path / "state", is_killed=True) as site:
        site.concentrator.push(sealed)
        (await _uplink(site)).before_sealing()
        site.concentrator.push(unsealed)
        await _uplink(site)
    async with run_site(tmp_path / "state") as site:
        site.concentrator.push(sealed)
        await _until(site, duplicates=1)
        site.concentrator.push(unsealed)
        assert (await _uplink(site)).uplink.payload == b"unsealed"


@in_loop
async def test_a_seal_after_the_end_of_the_bus_is_committed(tmp_path: Path, packets: LoraPacket) -> None:
    """The agent closes its buses first, and seals last."""
    async with run_site(tmp_path / "state") as site:
        site.concentrator.push(packets.uplink(KEYS, 10, b"x"))
        received = await _uplink(site)
    received.before_sealing()
    async with run_site(tmp_path / "state") as site:
        site.concentrator.push(packets.uplink(KEYS, 10, b"x"))
        await _until(site, duplicates=1)
        assert site.network.uplinks.empty()


@in_loop
async def test_a_bus_that_is_opened_anew_takes_no_frame_again(tmp_path: Path, packets: LoraPacket) -> None:
    """While the agent goes on, what waits for its seal is not lost, and is not counted twice."""
    frame = packets.uplink(KEYS, 10, b"waits")
    async with run_site(tmp_path / "state") as site:
        site.concentrator.push(frame)
        await _uplink(site)
    async with run_site(tmp_path / "state") as site:
        site.concentrator.push(frame)
        await _until(site, duplicates=1)
        assert site.network.uplinks.empty()


@in_loop
async def test_no_downlink_counter_is_used_twice(tmp_path: Path, packets: LoraPacket) -> None:
    """Neither after a kill, which costs a block of them, nor after a stop, which costs none."""
    used: list[int] = []
    for up, is_killed in ((0, True), (1, True), (2, False), (3, False)):
        async with run_site(tmp_path / "state", is_killed=is_killed) as site:
            site.concentrator.push(packets.uplink(KEYS, up, b"x", confirmed=True))
            down = packets.open_downlink(KEYS, (await _ordered(site.concentrator)).phy)
            assert down["mic_ok"]
            used.append(down["f_cnt"])
            (await _uplink(site)).before_sealing()
    assert used == [0, 16, 32, 33]


@in_loop
async def test_a_join_survives_a_kill(tmp_path: Path, packets: LoraPacket) -> None:
    """Between the accept and the first uplink, the session is on disk already."""
    async with run_site(tmp_path / "state", is_killed=True) as site:
        accept, _, _ = await _join(site, packets, 7)
    async with run_site(tmp_path / "state") as site:
        site.concentrator.push(packets.uplink(_keys(accept), 0, b"x"))
        assert (await _uplink(site)).uplink.payload == b"x"


@in_loop
async def test_several_concentrators_are_one_frame(tmp_path: Path, packets: LoraPacket) -> None:
    """The best signal counts, and it is that concentrator which answers."""
    async with run_site(tmp_path / "state") as site, Concentrator(HOST, site.port, OTHER_EUI) as other:
        await other.is_served()
        frame = packets.uplink(KEYS, 0, b"x", confirmed=True)
        site.concentrator.push(frame, Air(rssi_dbm=-110))
        other.push(frame, Air(rssi_dbm=-60), padded=False)
        uplink = (await _uplink(site)).uplink
        assert (uplink.radio.receptions, uplink.radio.rssi_dbm) == (2, -60)
        assert packets.open_downlink(KEYS, (await _ordered(other)).phy)["ack"]
        assert site.concentrator.ordered.empty()


@in_loop
async def test_a_concentrator_that_refuses_is_asked_for_the_second_window(tmp_path: Path, packets: LoraPacket) -> None:
    """RX2: 869.525 MHz, SF12, a second later."""
    async with run_site(tmp_path / "state") as site:
        site.concentrator.refuses = "TOO_LATE"
        tmst = site.concentrator.push(packets.uplink(KEYS, 0, b"x", confirmed=True))
        ordered = await _ordered(site.concentrator)
        assert ordered.txpk["tmst"] == (tmst + RX2_US) & 0xFFFFFFFF
        assert (ordered.txpk["freq"], ordered.txpk["datr"], ordered.txpk["powe"]) == (869.525, "SF12BW125", 27)
        assert site.network.counts["downlinks_too_late"] == 1


@in_loop
async def test_a_band_without_airtime_is_left_alone(tmp_path: Path, packets: LoraPacket) -> None:
    """The second window has a band of its own; where that is used up too, nothing is sent."""
    async with run_site(tmp_path / "state") as site:
        duty = site.concentrators.duty(site.concentrator.eui)
        now_s = asyncio.get_running_loop().time()
        duty.book(868_100_000, 35.99, now_s)
        site.concentrator.push(packets.uplink(KEYS, 0, b"x", confirmed=True))
        assert (await _ordered(site.concentrator)).txpk["freq"] == 869.525
        duty.book(eu868.RX2_FREQUENCY_HZ, 359.0, now_s)
        site.concentrator.push(packets.uplink(KEYS, 1, b"x", confirmed=True))
        await _until(site, downlinks_duty_cycle=3)
        assert site.concentrator.ordered.empty()


@in_loop
async def test_a_device_that_asks_whether_it_is_heard_is_answered(tmp_path: Path, packets: LoraPacket) -> None:
    """ADRACKReq, LinkCheckReq and DeviceTimeReq: else it would go to a higher spreading factor, or join anew."""
    async with run_site(tmp_path / "state") as site:
        site.concentrator.push(packets.uplink(KEYS, 0, b"x", adr_ack_req=True))
        down = packets.open_downlink(KEYS, (await _ordered(site.concentrator)).phy)
        assert (down["mic_ok"], down["ack"], down["payload"]) == (True, False, "")
        site.concentrator.push(packets.uplink(KEYS, 1, b"x", f_opts=b"\x02\x0d"), Air(snr_db=2.5))
        answers = bytes.fromhex(packets.open_downlink(KEYS, (await _ordered(site.concentrator)).phy)["f_opts"])
        assert answers[:3] == bytes([0x02, 10, 1])  # 2.5 dB, where SF7 needs -7.5 dB
        assert (answers[3], len(answers)) == (0x0D, 9)
        site.concentrator.push(packets.uplink(KEYS, 2, b"\x02", f_port=0))
        down = packets.open_downlink(KEYS, (await _ordered(site.concentrator)).phy)
        assert down["f_opts"].startswith("02")
        payloads = [(await _uplink(site)).uplink for _ in range(3)]
        assert [(uplink.f_port, uplink.payload) for uplink in payloads] == [(1, b"x"), (1, b"x"), (0, b"")]


@in_loop
async def test_a_device_that_is_heard_well_is_told_to_send_faster(tmp_path: Path, packets: LoraPacket) -> None:
    """After twenty frames; one that refuses is left alone. A device without join knows three channels."""
    slow = Air(datr="SF12BW125", snr_db=5.0)
    async with run_site(tmp_path / "state") as site:
        for f_cnt in range(FRAMES):
            site.concentrator.push(packets.uplink(KEYS, f_cnt, b"x", adr=True), slow)
        down = packets.open_downlink(KEYS, (await _ordered(site.concentrator)).phy)
        assert (down["mic_ok"], down["f_opts"]) == (True, "0350070001")  # 5 + 20 - 10 dB: five steps of 3 dB, to DR5
        site.concentrator.push(packets.uplink(KEYS, FRAMES, b"x", adr=True, f_opts=b"\x03\x05"), slow)
        for f_cnt in range(FRAMES + 1, 2 * FRAMES + 2):
            site.concentrator.push(packets.uplink(KEYS, f_cnt, b"x", adr=True), slow)
        await _until(site, new=2 * FRAMES + 2)
        assert site.network.counts["downlinks"] == 1


@in_loop
async def test_a_downlink_waits_for_its_device(tmp_path: Path, packets: LoraPacket) -> None:
    """Also across a restart; a confirmed one is sent until the device has acknowledged it."""
    async with run_site(tmp_path / "state", is_killed=True) as site:
        plain = await site.network.queue(FIXED, 7, b"plain", is_confirmed=False)
        sure = await site.network.queue(FIXED, 8, b"sure", is_confirmed=True)
        assert [each.state for each in site.network.downlinks(FIXED)] == ["queued", "queued"]
    async with run_site(tmp_path / "state") as site:

        async def states() -> list[str]:
            await asyncio.sleep(0.05)
            return [each.state for each in site.network.downlinks(FIXED)]

        down = await _said(site, packets, 0)
        assert (down["f_port"], down["payload"], down["f_pending"]) == (7, b"plain".hex(), True)
        down = await _said(site, packets, 1)
        assert (down["kind"], down["f_port"], down["payload"]) == ("Confirmed Data Down", 8, b"sure".hex())
        assert await states() == ["sent", "sent"]
        down = await _said(site, packets, 2)  # without a word on it: once more
        assert (down["payload"], down["f_cnt"]) == (b"sure".hex(), 2)
        site.concentrator.push(packets.uplink(KEYS, 3, b"x", ack=True))
        await _until(site, new=4)
        assert await states() == ["sent", "acknowledged"]
        assert (plain.id, sure.id) == tuple(each.id for each in site.network.downlinks(FIXED))


async def _said(site: Site, packets: LoraPacket, f_cnt: int) -> dict[str, Any]:
    site.concentrator.push(packets.uplink(KEYS, f_cnt, b"x"))
    ordered = await _ordered(site.concentrator)
    down = packets.open_downlink(KEYS, ordered.phy)
    assert down["mic_ok"]
    return down


@in_loop
async def test_a_downlink_that_does_not_fit_waits_for_a_better_data_rate(tmp_path: Path, packets: LoraPacket) -> None:
    """At SF12 51 octets go; and one that no data rate carries is refused at once."""
    async with run_site(tmp_path / "state") as site:
        await site.network.queue(FIXED, 1, bytes(60), is_confirmed=False)
        site.concentrator.push(packets.uplink(KEYS, 0, b"x", confirmed=True), Air(datr="SF12BW125"))
        down = packets.open_downlink(KEYS, (await _ordered(site.concentrator)).phy)
        assert (down["payload"], down["f_pending"]) == ("", False)
        assert (await _said(site, packets, 1))["payload"] == bytes(60).hex()
        with pytest.raises(PermanentError, match="222"):
            await site.network.queue(FIXED, 1, bytes(223), is_confirmed=False)


@in_loop
async def test_only_listed_concentrators_are_heard(tmp_path: Path, packets: LoraPacket) -> None:
    """Another one gets neither an answer nor a hearing."""
    async with (
        run_site(tmp_path / "state", allowed=(OTHER_EUI,)) as site,
        Concentrator(HOST, site.port, OTHER_EUI) as other,
    ):
        await other.is_served()
        site.concentrator.push(packets.uplink(KEYS, 0, b"x"))
        await _until(site, strangers=1)
        other.push(packets.uplink(KEYS, 1, b"y"))
        assert (await _uplink(site)).uplink.payload == b"y"
        assert site.concentrator.acknowledged == 0


@in_loop
async def test_damaged_and_foreign_frames_are_counted(tmp_path: Path, packets: LoraPacket) -> None:
    """A frame with a wrong CRC is not looked at; one of a neighbour's device is nobody's fault."""
    stranger = KEYS._replace(dev_addr="00000001")
    async with run_site(tmp_path / "state") as site:
        site.concentrator.push(packets.uplink(KEYS, 0, b"x"), Air(crc=-1))
        site.concentrator.push(packets.uplink(stranger, 0, b"x"))
        site.concentrator.push(packets.uplink(KEYS._replace(nwk_s_key="00" * 16), 0, b"x"))
        site.concentrator.push(b"rubbish")
        await _until(site, damaged=1, foreign=1, bad_mic=1, rubbish=1)
        assert site.network.uplinks.empty()


@in_loop
async def test_a_device_with_another_key_is_another_device(tmp_path: Path, packets: LoraPacket) -> None:
    """After an exchange of its app_key neither its sessions nor its used nonces count any more."""
    file, other_key = tmp_path / "state", "00112233445566778899aabbccddeeff"
    async with run_site(file) as site:
        old = _keys((await _join(site, packets, 7))[0])
    keys = MEMBERS[JOINER].keys
    members = {JOINER: Member(JOINER, type(keys)(app_key=bytes.fromhex(other_key)))}
    async with run_site(file, members) as site:
        site.concentrator.push(packets.uplink(old, 0, b"x"))
        await _until(site, foreign=1)
        site.concentrator.push(packets.join_request(other_key, JOINER, 7))
        assert packets.open_accept(other_key, (await _ordered(site.concentrator)).phy, 7)["mic_ok"]


@in_loop
async def test_a_damaged_state_is_moved_aside(tmp_path: Path, packets: LoraPacket) -> None:
    """The site goes on: devices join anew."""
    file = tmp_path / "state"
    file.write_bytes(b"no SQLite file at all" * 100)
    async with run_site(file) as site:
        assert (await _join(site, packets, 1))[0]["mic_ok"]
    assert len(list(tmp_path.glob("state.damaged-*"))) == 1  # noqa: ASYNC240 - a test may wait for its disk
    assert file.stat().st_mode & 0o077 == 0
