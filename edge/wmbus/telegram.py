"""A whole telegram by radio: link layer, extended link layer (ELL), authentication (AFL), transport layer, records."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from edge.mbus import records
from edge.mbus import telegram as wired
from edge.mbus.errors import DamagedError, EncryptedError, UnsupportedError
from edge.mbus.telegram import Address, Status, Telegram
from edge.wmbus import link

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.wmbus.link import Form, LinkFrame

    Keys: TypeAlias = Callable[[Address], bytes | None]
    """The key of a meter, 16 bytes; None where it is not known."""

ELL_SHORT, ELL_SESSION, ELL_ADDRESS, ELL_BOTH, AFL = 0x8C, 0x8D, 0x8E, 0x8F, 0x90
COMPACT = 0x79
"""A Kamstrup meter's telegram without the heads of its records: only one that heard a full one can read it."""
PLAIN_START = b"\x2f\x2f"
"""What a right key makes of the first two bytes."""
SESSION_MODE_SHIFT, SESSION_CTR = 29, 1
MODE_5, MODE_7 = 5, 7
COUNTER_BYTES, LEAST_MAC_BYTES = 4, 4
MOST_HEADS = 256


class RadioTelegram(NamedTuple):
    """What one telegram says, and who sent it."""

    sender: Address
    """Of the link layer: the meter, or the radio module on it."""
    telegram: Telegram
    is_encrypted: bool

    @property
    def address(self) -> Address:
        """The meter's own address."""
        return self.telegram.address or self.sender


class Decoder:
    """Decodes telegrams. Keeps what Kamstrup's compact telegrams need of full ones, for so many kinds of them."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._heads: dict[int, tuple[bytes, ...]] = {}

    def decode(self, data: bytes, form: Form = "any") -> RadioTelegram:
        """Decode one telegram, from its length byte on, as `link.parse`.

        Raises: DamagedError, UnsupportedError; EncryptedError where its key is missing or another one.
        """
        return _Reading(link.parse(data, form), self._keys, self._heads).run()


def decode(data: bytes, keys: Keys = lambda _: None) -> RadioTelegram:
    """Decode one telegram alone, as `Decoder.decode`."""
    return Decoder(keys).decode(data)


class _Reading:
    """One telegram on its way through the layers."""

    def __init__(self, frame: LinkFrame, keys: Keys, heads: dict[int, tuple[bytes, ...]]) -> None:
        self.frame, self.keys, self.heads = frame, keys, heads
        self.information, self.rest = frame.information, frame.content
        self.is_encrypted = False
        self.counter = b""
        self.mac = b""
        self.authenticated = b""

    def run(self) -> RadioTelegram:
        if self.information in (ELL_SHORT, ELL_SESSION, ELL_ADDRESS, ELL_BOTH):
            self._extended_link()
        if self.information == AFL:
            self._authentication()
        found = self._transport()
        return RadioTelegram(self.frame.sender, found, self.is_encrypted)

    def take(self, count: int) -> bytes:
        if len(self.rest) < count:
            raise DamagedError(f"a head that ends {count - len(self.rest)} bytes behind the telegram's end")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def key(self, address: Address, how: str) -> bytes:
        key = self.keys(address)
        if key is None:
            raise EncryptedError(f"encrypted ({how}), and the key of {address.number} is not known")
        return key

    def _extended_link(self) -> None:
        """Read the extended link layer; what it encrypts is decrypted."""
        kind = self.information
        communication, _access = self.take(2)
        if kind in (ELL_ADDRESS, ELL_BOTH):
            self.take(8)  # the receiver's address
        if kind in (ELL_SESSION, ELL_BOTH):
            session = self.take(4)
            is_said_encrypted = int.from_bytes(session, "little") >> SESSION_MODE_SHIFT == SESSION_CTR
            if is_said_encrypted and not self._is_in_the_clear():  # a receiver that knows the key may have decrypted it
                self._decrypt_session(communication, session)
            if not self._is_in_the_clear():
                if self.is_encrypted:
                    raise EncryptedError(f"the key of {self.frame.sender.number} is another one")
                raise DamagedError("a wrong checksum of the extended link layer")
            self.take(2)
        self.information = self.take(1)[0]

    def _is_in_the_clear(self) -> bool:
        """Whether the checksum before the payload is that of the payload."""
        return len(self.rest) > 2 and link.crc(self.rest[2:]) == int.from_bytes(self.rest[:2], "little")

    def _decrypt_session(self, communication: int, session: bytes) -> None:
        from edge.wmbus import security  # noqa: PLC0415 - cryptography is loaded with the first encrypted telegram

        key = self.key(self.frame.sender, "AES-128 CTR of the link layer")
        start = security.start_of_ctr(self.frame.sender_bytes, communication, session)
        self.rest = security.decrypted_ctr(key, start, self.rest)
        self.is_encrypted = True

    def _authentication(self) -> None:
        """Read the authentication and fragmentation layer."""
        fields = self.take(self.take(1)[0])
        self.information = self.take(1)[0]
        if len(fields) < 2:
            raise DamagedError("an authentication layer without its fields")
        control = int.from_bytes(fields[:2], "little")
        if control & 0x4000:
            raise UnsupportedError("a telegram in fragments")
        at = 2
        message_control = fields[at : at + 1] if control & 0x2000 else b""
        at += len(message_control)
        at += 2 if control & 0x0200 else 0  # key information
        self.counter = fields[at : at + 4] if control & 0x0800 else b""
        at += len(self.counter)
        length = fields[-2:] if control & 0x1000 else b""
        self.mac = fields[at : len(fields) - len(length)] if control & 0x0400 else b""
        self.authenticated = message_control + self.counter + length + bytes([self.information]) + self.rest

    def _transport(self) -> Telegram:
        if self.information == COMPACT:
            return self._compact()
        if self.information == wired.LONG_HEADER:
            raw = self.take(8)
            address = wired.read_address(raw)
            owner = raw[4:6] + raw[:4] + raw[6:8]
        elif self.information == wired.SHORT_HEADER:
            address, owner = self.frame.sender, self.frame.sender_bytes
        elif self.information == wired.NO_HEADER:
            return self._records(None, 0, Status(0), 0, self.rest)
        else:
            is_of_maker = 0xA0 <= self.information <= 0xB7
            why = "which is the maker's own" if is_of_maker else "which is not read here"
            raise UnsupportedError(f"the control information field {self.information:02X}h, {why}")
        access, status, *configuration = self.take(4)
        word = int.from_bytes(bytes(configuration), "little")
        payload = self._decrypted(address, owner, access, word)
        own = address if self.information == wired.LONG_HEADER else None
        return self._records(own, access, Status(status), word, payload)

    def _decrypted(self, address: Address, owner: bytes, access: int, configuration: int) -> bytes:
        """Return the payload in the clear."""
        mode = configuration >> 8 & 0x1F
        if mode == MODE_7:
            self.take(1)  # which key, and how it is derived
        size = 16 * (configuration >> 4 & 0x0F)
        if self.rest.startswith(PLAIN_START) or (not self.mac and (not size or not mode)):
            return self.rest
        if mode not in (MODE_5, MODE_7) and not self.mac:
            raise EncryptedError(f"encrypted in mode {mode}, which is not read here")
        if len(self.rest) < size:
            raise DamagedError(f"{len(self.rest)} bytes, where {size} are said to be encrypted")
        key = self.key(address, f"AES-128, mode {mode}")
        plain = self._plain(key, mode, owner, access, self.rest[:size])
        if not plain.startswith(PLAIN_START):
            raise EncryptedError(f"the key of {address.number} is another one")
        self.is_encrypted = True
        return plain + self.rest[size:]

    def _plain(self, key: bytes, mode: int, owner: bytes, access: int, data: bytes) -> bytes:
        from edge.wmbus import security  # noqa: PLC0415 - cryptography is loaded with the first encrypted telegram

        if mode == MODE_5 and not self.mac:
            return security.decrypted_cbc(key, security.start_of_mode_5(owner, access), data)
        if len(self.counter) != COUNTER_BYTES or len(self.mac) < LEAST_MAC_BYTES:
            raise UnsupportedError(f"mode {mode} without a message counter and a MAC")
        derived = security.derived(key, self.counter, owner[2:6])
        if not security.is_mac(self.mac, security.cmac(derived.authenticating, self.authenticated)):
            raise EncryptedError("the key is another one: the MAC is not its own")
        if mode != MODE_7:
            raise UnsupportedError(f"a MAC in mode {mode}")
        return security.decrypted_cbc(derived.encrypting, bytes(16), data)

    def _records(
        self, address: Address | None, access: int, status: Status, configuration: int, payload: bytes
    ) -> Telegram:
        found = records.parse(payload)
        if self.information == wired.NO_HEADER and not found.damage and not found.of_maker:
            self._learn(found.records)
        return Telegram(address, access, status, configuration, found)

    def _learn(self, found: tuple[records.Record, ...]) -> None:
        """Keep the heads of a full telegram, by the signature that compact ones name."""
        heads = tuple(record.head for record in found)
        if len(self.heads) < MOST_HEADS:
            self.heads[link.crc(b"".join(heads))] = heads

    def _compact(self) -> Telegram:
        """Read a telegram without heads: signature of the heads, checksum of the full telegram, data."""
        signature = int.from_bytes(self.take(2), "little")
        checksum = int.from_bytes(self.take(2), "little")
        heads = self.heads.get(signature)
        if heads is None:
            raise UnsupportedError("a compact telegram, of whose kind no full one came yet")
        full = _filled(heads, self.rest)
        if link.crc(full) != checksum:
            raise DamagedError("a compact telegram with a wrong checksum")
        return Telegram(None, 0, Status(0), 0, records.parse(full))


def _filled(heads: tuple[bytes, ...], data: bytes) -> bytes:
    """Put the heads of records before their data.

    Raises: DamagedError where the data is too short, or too long.
    """
    full = b""
    for head in heads:
        coding = head[0] & 0x0F
        size = 1 + (data[0] if data else 0) if coding == records.VARIABLE else records.SIZES[coding]
        if len(data) < size:
            raise DamagedError("a compact telegram that is too short")
        full += head + data[:size]
        data = data[size:]
    if data:
        raise DamagedError("a compact telegram that is too long")
    return full
