"""A simulated LoRaWAN device (1.0.x, class A): joins, sends encrypted frames, understands what it is told.

Written after the specification, apart from the network server that it is there to test; AES alone is a library's.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

BLOCK = 16
JOIN_REQUEST, JOIN_ACCEPT, UP, DOWN, CONFIRMED_UP, CONFIRMED_DOWN = range(6)
ADR_ACK_REQ, ACK, ADR = 0x40, 0x20, 0x80


def _aes(key: bytes, blocks: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(blocks)  # noqa: S305 - as LoRaWAN has it


def _mic(key: bytes, message: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()[:4]


class Heard(NamedTuple):
    """What a device understood of a downlink."""

    port: int | None
    payload: bytes
    options: bytes
    is_ack: bool
    f_cnt: int


class EndDevice:
    """One device."""

    def __init__(self, dev_eui: str, app_key: str, *, join_eui: str = "0000000000000000", dev_nonce: int = 0) -> None:
        """`dev_nonce`: of its next join; counted up from there."""
        self.dev_eui = dev_eui
        self.app_key = app_key
        self._app_key = bytes.fromhex(app_key)
        self._euis = bytes.fromhex(join_eui)[::-1] + bytes.fromhex(dev_eui)[::-1]
        self._nonce = dev_nonce or secrets.randbelow(0xFFF0)
        self.address: bytes | None = None
        """As on the air; None where it has not joined."""
        self.f_cnt = 0
        """Of the next uplink."""
        self._nwk_s_key = self._app_s_key = b""
        self._f_cnt_down = -1

    @property
    def has_joined(self) -> bool:
        """Whether it has a session."""
        return self.address is not None

    def join_request(self) -> bytes:
        """Ask for a session."""
        self._nonce = (self._nonce + 1) & 0xFFFF
        message = bytes([JOIN_REQUEST << 5]) + self._euis + self._nonce.to_bytes(2, "little")
        return message + _mic(self._app_key, message)

    def take_accept(self, phy: bytes) -> bool:
        """Take a join accept; False where it is none, or not for this device."""
        if phy[0] != JOIN_ACCEPT << 5 or len(phy) not in (17, 33):
            return False
        plain = _aes(self._app_key, phy[1:])
        if _mic(self._app_key, phy[:1] + plain[:-4]) != plain[-4:]:
            return False
        seed = plain[:6] + self._nonce.to_bytes(2, "little")
        self._nwk_s_key = _aes(self._app_key, (b"\x01" + seed).ljust(BLOCK, b"\0"))
        self._app_s_key = _aes(self._app_key, (b"\x02" + seed).ljust(BLOCK, b"\0"))
        self.address, self.f_cnt, self._f_cnt_down = plain[6:10], 0, -1
        return True

    def uplink(self, port: int, payload: bytes, *, confirmed: bool = False) -> bytes:
        """Send a payload."""
        assert self.address is not None  # noqa: S101 - it has joined
        f_cnt = self.f_cnt
        self.f_cnt += 1
        header = bytes([(CONFIRMED_UP if confirmed else UP) << 5]) + self.address + b"\0"
        message = header + (f_cnt & 0xFFFF).to_bytes(2, "little") + bytes([port])
        message += self._crypt(0, f_cnt, payload, self._nwk_s_key if port == 0 else self._app_s_key)
        return message + self._data_mic(0, f_cnt, message)

    def take_downlink(self, phy: bytes) -> Heard | None:
        """Take a downlink; None where it is none, not for this device, or not new."""
        if phy[0] >> 5 not in (DOWN, CONFIRMED_DOWN) or phy[1:5] != self.address or len(phy) < 12:
            return None
        f_cnt = int.from_bytes(phy[6:8], "little")
        if f_cnt <= self._f_cnt_down or self._data_mic(1, f_cnt, phy[:-4]) != phy[-4:]:
            return None
        self._f_cnt_down = f_cnt
        end = 8 + (phy[5] & 0x0F)
        body = phy[end:-4]
        key = self._nwk_s_key if body[:1] == b"\0" else self._app_s_key
        payload = self._crypt(1, f_cnt, body[1:], key)
        return Heard(body[0] if body else None, payload, phy[8:end], bool(phy[5] & ACK), f_cnt)

    def _block(self, first: int, direction: int, f_cnt: int, last: int) -> bytes:
        assert self.address is not None  # noqa: S101 - it has joined
        about = bytes([first, 0, 0, 0, 0, direction]) + self.address + f_cnt.to_bytes(4, "little")
        return about + bytes([0, last])

    def _data_mic(self, direction: int, f_cnt: int, message: bytes) -> bytes:
        return _mic(self._nwk_s_key, self._block(0x49, direction, f_cnt, len(message)) + message)

    def _crypt(self, direction: int, f_cnt: int, payload: bytes, key: bytes) -> bytes:
        blocks = range(1, len(payload) // BLOCK + 2)
        stream = _aes(key, b"".join(self._block(0x01, direction, f_cnt, number) for number in blocks))
        return bytes(a ^ b for a, b in zip(payload, stream, strict=False))
