"""How meters encrypt by radio (EN 13757-7): AES-128 in modes 5 and 7 of the transport layer, CTR of the link layer."""

from __future__ import annotations

import hmac
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

BLOCK = 16
ENCRYPTING, AUTHENTICATING = 0x00, 0x01
"""What a derived key is for (OMS Specification Volume 2, 9.5.3)."""


class DerivedKeys(NamedTuple):
    """Keys of one message (mode 7)."""

    encrypting: bytes
    authenticating: bytes


def cmac(key: bytes, message: bytes) -> bytes:
    """Return the AES-CMAC (RFC 4493) of a message, 16 bytes."""
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()


def derived(key: bytes, counter: bytes, number: bytes) -> DerivedKeys:
    """Derive a message's keys from the meter's own, the message's counter and the meter's number (4 bytes each)."""
    rest = counter + number + b"\x07" * 7
    return DerivedKeys(cmac(key, bytes([ENCRYPTING]) + rest), cmac(key, bytes([AUTHENTICATING]) + rest))


def decrypted_cbc(key: bytes, start: bytes, data: bytes) -> bytes:
    """Decrypt whole blocks; `start` is the initialisation vector."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(start)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def decrypted_ctr(key: bytes, start: bytes, data: bytes) -> bytes:
    """Decrypt bytes; `start` is the first counter block."""
    decryptor = Cipher(algorithms.AES(key), modes.CTR(start)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def start_of_mode_5(sender: bytes, access_number: int) -> bytes:
    """Return the initialisation vector of mode 5: the meter's address, and its access number eight times."""
    return sender + bytes([access_number]) * 8


def start_of_ctr(sender: bytes, communication: int, session: bytes) -> bytes:
    """Return the first counter block of the link layer: address, communication control, session number, zeros."""
    return sender + bytes([communication]) + session + bytes(3)


def is_mac(given: bytes, right: bytes) -> bool:
    """Compare a MAC, which may be cut short, without telling by the time where it differs."""
    return hmac.compare_digest(given, right[: len(given)])
