"""The cryptography of LoRaWAN 1.0.x: AES-128 in the three ways that the specification uses it."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from edge.lorawan import phy
from edge.lorawan.phy import MIC_BYTES, MType

if TYPE_CHECKING:
    from edge.lorawan.phy import Accept, Data, JoinRequest

BLOCK = 16


class SessionKeys(NamedTuple):
    """What a session's frames are protected with."""

    nwk_s_key: bytes
    """MICs of data frames, and the MAC commands on port 0."""
    app_s_key: bytes
    """Payloads of all other ports."""


def _ecb(key: bytes) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - LoRaWAN is made of single blocks


def _encrypted(key: bytes, blocks: bytes) -> bytes:
    return _ecb(key).encryptor().update(blocks)


def cmac(key: bytes, message: bytes) -> bytes:
    """Return the AES-CMAC (RFC 4493) of a message, 16 octets."""
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()


def is_mic(given: bytes, right: bytes) -> bool:
    """Compare two MICs without telling by the time where they differ."""
    return hmac.compare_digest(given, right)


def join_request_mic(app_key: bytes, request: JoinRequest) -> bytes:
    """Return the MIC that a join request must have."""
    return cmac(app_key, request.signed)[:MIC_BYTES]


def accept_mic(app_key: bytes, plain: bytes) -> bytes:
    """Return the MIC of a join accept; `plain` has neither first octet nor MIC."""
    return cmac(app_key, phy.first_octet(MType.JOIN_ACCEPT) + plain)[:MIC_BYTES]


def seal_accept(app_key: bytes, accept: Accept) -> bytes:
    """Return the PHYPayload of a join accept.

    It is encrypted with the deciphering half of AES, so that a device needs the enciphering half only.
    """
    plain = phy.build_accept(accept)
    body = plain + accept_mic(app_key, plain)
    return phy.first_octet(MType.JOIN_ACCEPT) + _ecb(app_key).decryptor().update(body)


def open_accept(app_key: bytes, encrypted: bytes) -> Accept | None:
    """Decrypt a join accept; None where its MIC is wrong, so that it is of another key."""
    plain = _encrypted(app_key, encrypted)
    accept = phy.parse_accept(plain)
    return accept if is_mic(accept.mic, accept_mic(app_key, plain[:-MIC_BYTES])) else None


def session_keys(app_key: bytes, join_nonce: int, net_id: int, dev_nonce: int) -> SessionKeys:
    """Derive the keys of a session from a join."""
    nonces = join_nonce.to_bytes(3, "little") + net_id.to_bytes(3, "little") + dev_nonce.to_bytes(2, "little")
    nwk_s_key, app_s_key = (_encrypted(app_key, (kind + nonces).ljust(BLOCK, b"\0")) for kind in (b"\x01", b"\x02"))
    return SessionKeys(nwk_s_key, app_s_key)


def _block(first: int, second: bytes, frame: Data, f_cnt: int, last: int) -> bytes:
    """Return the block of sixteen octets that both the MIC (B0) and the key stream (A) are made of."""
    direction = bytes([frame.is_down]) + frame.dev_addr.to_bytes(4, "little") + f_cnt.to_bytes(4, "little")
    return bytes([first]) + second + direction + bytes([0, last])


def data_mic(nwk_s_key: bytes, frame: Data, f_cnt: int) -> bytes:
    """Return the MIC that a data frame must have; `f_cnt` is the counter whole, 32 bits."""
    return cmac(nwk_s_key, _block(0x49, bytes(4), frame, f_cnt, len(frame.signed)) + frame.signed)[:MIC_BYTES]


def data_mic_1_1(f_nwk_s_int_key: bytes, s_nwk_s_int_key: bytes, frame: Data, f_cnt: int, sent_on: bytes) -> bytes:
    """Return the MIC that an uplink of LoRaWAN 1.1 must have: half of it of each key.

    `sent_on`: counter of the downlink that it acknowledges or 0 (two octets), data rate, channel.
    """
    forwarding = data_mic(f_nwk_s_int_key, frame, f_cnt)
    serving = cmac(s_nwk_s_int_key, _block(0x49, sent_on, frame, f_cnt, len(frame.signed)) + frame.signed)
    return serving[:2] + forwarding[:2]


def crypt(key: bytes, frame: Data, f_cnt: int) -> bytes:
    """Return the payload of a frame decrypted; or encrypted, which is the same."""
    count = -(-len(frame.payload) // BLOCK)
    blocks = b"".join(_block(0x01, bytes(4), frame, f_cnt, number) for number in range(1, count + 1))
    stream = _encrypted(key, blocks)
    return bytes(a ^ b for a, b in zip(frame.payload, stream, strict=False))


def seal(keys: SessionKeys, frame: Data, f_cnt: int) -> bytes:
    """Return the PHYPayload of a frame whose payload is in the clear; `f_cnt` is the counter whole."""
    encrypted = frame._replace(payload=crypt(key_of(keys, frame), frame, f_cnt), f_cnt=f_cnt & 0xFFFF)
    signed = phy.build(encrypted)
    return signed + data_mic(keys.nwk_s_key, encrypted._replace(signed=signed), f_cnt)


def key_of(keys: SessionKeys, frame: Data) -> bytes:
    """Return the key that the frame's payload is encrypted with."""
    return keys.nwk_s_key if frame.f_port == 0 else keys.app_s_key
