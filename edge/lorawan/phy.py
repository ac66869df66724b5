"""LoRaWAN 1.0.x frames (PHYPayload): taken apart and put together, without any key.

Layout: LoRaWAN 1.0.4 specification, chapters 4 and 6. Numbers of several octets travel with the lowest first.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, TypeAlias

from base.errors import PermanentError

MIC_BYTES = 4
MAX_FRAME_BYTES = 255
MAX_F_OPTS_BYTES = 15
JOIN_REQUEST_BYTES = 23
JOIN_ACCEPT_BYTES = (17, 33)
"""Without and with a CFList."""
CF_LIST_BYTES = 16
LEAST_DATA_BYTES = 12
F_OPTS_LENGTH = 0x0F


class FrameError(PermanentError):
    """Octets that are no LoRaWAN frame."""


class MType(IntEnum):
    """What a frame is: the upper three bits of its first octet."""

    JOIN_REQUEST = 0
    JOIN_ACCEPT = 1
    UNCONFIRMED_UP = 2
    UNCONFIRMED_DOWN = 3
    CONFIRMED_UP = 4
    CONFIRMED_DOWN = 5
    REJOIN_REQUEST = 6
    PROPRIETARY = 7


DOWN = (MType.UNCONFIRMED_DOWN, MType.CONFIRMED_DOWN, MType.JOIN_ACCEPT)
CONFIRMED = (MType.CONFIRMED_UP, MType.CONFIRMED_DOWN)


class JoinRequest(NamedTuple):
    """A device asks for a session."""

    join_eui: str
    """16 hexadecimal digits, lower case; 1.0 calls it AppEUI."""
    dev_eui: str
    """Likewise."""
    dev_nonce: int
    mic: bytes
    signed: bytes
    """What the MIC is of."""

    @property
    def mtype(self) -> MType:
        """What it is."""
        return MType.JOIN_REQUEST


class JoinAccept(NamedTuple):
    """The answer to it, encrypted with the device's AppKey."""

    encrypted: bytes
    """Everything behind the first octet."""

    @property
    def mtype(self) -> MType:
        """What it is."""
        return MType.JOIN_ACCEPT


class Data(NamedTuple):
    """A data frame in either direction; its payload is encrypted."""

    mtype: MType
    dev_addr: int
    f_cnt: int
    """The lower 16 bits of the counter."""
    f_port: int | None = None
    """None where there is neither port nor payload."""
    payload: bytes = b""
    """FRMPayload, encrypted."""
    f_opts: bytes = b""
    """MAC commands in the header, in the clear."""
    adr: bool = False
    adr_ack_req: bool = False
    """Up: answer me, or I go to a higher spreading factor. In a downlink the bit is reserved."""
    ack: bool = False
    f_pending: bool = False
    """Down: there is more to fetch. Up: class B."""
    mic: bytes = b""
    signed: bytes = b""
    """What the MIC is of, behind a first block that holds the 32-bit counter."""

    @property
    def is_down(self) -> bool:
        """Whether it goes to the device."""
        return self.mtype in DOWN

    @property
    def is_confirmed(self) -> bool:
        """Whether its sender wants an acknowledgement."""
        return self.mtype in CONFIRMED


class Unread(NamedTuple):
    """A rejoin request or a proprietary frame: known by its kind, and read no further."""

    mtype: MType
    body: bytes


Frame: TypeAlias = JoinRequest | JoinAccept | Data | Unread


class Accept(NamedTuple):
    """What a join accept says, decrypted."""

    join_nonce: int
    """1.0 calls it AppNonce."""
    net_id: int
    dev_addr: int
    dl_settings: int = 0
    """Offset of RX1's data rate (bits 6 to 4) and data rate of RX2 (bits 3 to 0)."""
    rx_delay_s: int = 1
    cf_list: bytes = b""
    mic: bytes = b""

    @property
    def frequencies_hz(self) -> tuple[int, ...]:
        """Channels 4 to 8 of a region such as EU868, where a CFList names them."""
        if len(self.cf_list) != CF_LIST_BYTES or self.cf_list[-1] != 0:
            return ()
        triples = (self.cf_list[start : start + 3] for start in range(0, 15, 3))
        return tuple(hz for hz in (100 * _number(triple) for triple in triples) if hz)


def parse(phy: bytes) -> Frame:
    """Take a PHYPayload apart.

    Raises: FrameError where it is none of LoRaWAN 1.
    """
    if not 1 + MIC_BYTES <= len(phy) <= MAX_FRAME_BYTES:
        raise FrameError(f"{len(phy)} octets; a LoRaWAN frame has {1 + MIC_BYTES} to {MAX_FRAME_BYTES}")
    mtype, major = MType(phy[0] >> 5), phy[0] & 0x03
    if mtype is MType.PROPRIETARY:
        return Unread(mtype, phy[1:])
    if major != 0:
        raise FrameError(f"major version {major}; LoRaWAN 1 has 0")
    if mtype is MType.JOIN_REQUEST:
        return _join_request(phy)
    if mtype is MType.JOIN_ACCEPT:
        if len(phy) not in JOIN_ACCEPT_BYTES:
            raise FrameError(
                f"a join accept of {len(phy)} octets; it has {JOIN_ACCEPT_BYTES[0]} or {JOIN_ACCEPT_BYTES[1]}"
            )
        return JoinAccept(phy[1:])
    return Unread(mtype, phy[1:]) if mtype is MType.REJOIN_REQUEST else _data(mtype, phy)


def _join_request(phy: bytes) -> JoinRequest:
    if len(phy) != JOIN_REQUEST_BYTES:
        raise FrameError(f"a join request of {len(phy)} octets; it has {JOIN_REQUEST_BYTES}")
    return JoinRequest(phy[8:0:-1].hex(), phy[16:8:-1].hex(), _number(phy[17:19]), phy[19:], phy[:19])


def _data(mtype: MType, phy: bytes) -> Data:
    if len(phy) < LEAST_DATA_BYTES:
        raise FrameError(f"a data frame of {len(phy)} octets; it has {LEAST_DATA_BYTES} at least")
    control, signed = phy[5], phy[:-MIC_BYTES]
    end_of_header = 8 + (control & F_OPTS_LENGTH)
    if end_of_header > len(signed):
        raise FrameError(f"{control & F_OPTS_LENGTH} octets of FOpts, of which {len(signed) - 8} are there")
    f_port = signed[end_of_header] if end_of_header < len(signed) else None
    f_opts = signed[8:end_of_header]
    if f_port == 0 and f_opts:
        raise FrameError("MAC commands both in FOpts and on port 0")
    return Data(
        mtype,
        dev_addr=_number(phy[1:5]),
        f_cnt=_number(phy[6:8]),
        f_port=f_port,
        payload=signed[end_of_header + 1 :],
        f_opts=f_opts,
        adr=bool(control & 0x80),
        adr_ack_req=bool(control & 0x40) and mtype not in DOWN,
        ack=bool(control & 0x20),
        f_pending=bool(control & 0x10),
        mic=phy[-MIC_BYTES:],
        signed=signed,
    )


def build(frame: Data) -> bytes:
    """Put a data frame together, without its MIC; `payload` is encrypted already.

    Raises: FrameError where it has more MAC commands than fit, or a payload without a port.
    """
    if len(frame.f_opts) > MAX_F_OPTS_BYTES or (frame.f_port == 0 and frame.f_opts):
        raise FrameError("MAC commands that do not fit")
    if frame.f_port is None and frame.payload:
        raise FrameError("a payload without a port")
    control = frame.adr << 7 | frame.adr_ack_req << 6 | frame.ack << 5 | frame.f_pending << 4 | len(frame.f_opts)
    header = bytes([frame.mtype << 5]) + frame.dev_addr.to_bytes(4, "little") + bytes([control])
    port = b"" if frame.f_port is None else bytes([frame.f_port])
    return header + (frame.f_cnt & 0xFFFF).to_bytes(2, "little") + frame.f_opts + port + frame.payload


def parse_accept(plain: bytes) -> Accept:
    """Read a decrypted join accept; `plain` is what stands behind the first octet, MIC included.

    Raises: FrameError where it has no such length.
    """
    if len(plain) + 1 not in JOIN_ACCEPT_BYTES:
        raise FrameError(f"a join accept of {len(plain) + 1} octets")
    return Accept(
        join_nonce=_number(plain[0:3]),
        net_id=_number(plain[3:6]),
        dev_addr=_number(plain[6:10]),
        dl_settings=plain[10],
        rx_delay_s=plain[11] & 0x0F or 1,  # 0 means 1 s
        cf_list=plain[12:-MIC_BYTES],
        mic=plain[-MIC_BYTES:],
    )


def build_accept(accept: Accept) -> bytes:
    """Write a join accept in the clear, without first octet and MIC."""
    numbers = accept.join_nonce.to_bytes(3, "little") + accept.net_id.to_bytes(3, "little")
    numbers += accept.dev_addr.to_bytes(4, "little")
    return numbers + bytes([accept.dl_settings, accept.rx_delay_s]) + accept.cf_list


def first_octet(mtype: MType) -> bytes:
    """Return the MHDR of a frame of LoRaWAN 1."""
    return bytes([mtype << 5])


def _number(octets: bytes) -> int:
    return int.from_bytes(octets, "little")
