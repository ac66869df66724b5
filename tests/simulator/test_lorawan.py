"""The simulated device speaks LoRaWAN as another implementation does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lora_packet
import pytest
from lacking import lacking
from lora_packet import Keys, LoraPacket

from edge.lorawan import crypto
from edge.lorawan.phy import Accept
from simulator.lorawan import EndDevice

if TYPE_CHECKING:
    from collections.abc import Iterator

APP_KEY = "2b7e151628aed2a6abf7158809cf4f3c"
DEV_EUI = "a81758fffe0512ab"
NET_ID = 0


@pytest.fixture(scope="module")
def packets() -> Iterator[LoraPacket]:
    """The other implementation."""
    message = lora_packet.missing()
    if message is not None:
        lacking(message)
    with LoraPacket() as process:
        yield process


def _joined() -> tuple[EndDevice, Keys]:
    device = EndDevice(DEV_EUI, APP_KEY, dev_nonce=6)
    device.join_request()
    keys = crypto.session_keys(bytes.fromhex(APP_KEY), 3, NET_ID, 7)
    accept = crypto.seal_accept(bytes.fromhex(APP_KEY), Accept(3, NET_ID, 0x01ABCDEF))
    assert device.take_accept(accept)
    return device, Keys("01abcdef", keys.nwk_s_key.hex(), keys.app_s_key.hex())


def test_a_join_request_is_the_same(packets: LoraPacket) -> None:
    """To the octet."""
    device = EndDevice(DEV_EUI, APP_KEY, join_eui="70b3d57ed0000000", dev_nonce=6)
    assert device.join_request() == packets.join_request(APP_KEY, DEV_EUI, 7)


def test_an_uplink_is_the_same(packets: LoraPacket) -> None:
    """To the octet: confirmed or not, of one block or several, and where the counter's upper half counts."""
    device, keys = _joined()
    for f_cnt, payload, confirmed in ((0, b"x", False), (1, bytes(40), True), (70_000, b"0123456789abcdef", False)):
        device.f_cnt = f_cnt
        expected = packets.uplink(keys, f_cnt, payload, f_port=5, confirmed=confirmed)
        assert device.uplink(5, payload, confirmed=confirmed) == expected


def test_an_accept_of_another_device_is_not_taken() -> None:
    """Everybody hears it."""
    device = EndDevice("0" * 16, "00" * 16)
    device.join_request()
    assert not device.take_accept(crypto.seal_accept(bytes.fromhex(APP_KEY), Accept(3, NET_ID, 1)))
    assert not device.has_joined
