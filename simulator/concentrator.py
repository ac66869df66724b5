"""A simulated LoRaWAN concentrator: Semtech's packet forwarder (GWMP version 2) as a UDP client.

Written after Lora-net/packet_forwarder, PROTOCOL.TXT, apart from the server that it is there to test.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

VERSION = 2
PUSH_DATA, PUSH_ACK, PULL_DATA, PULL_RESP, PULL_ACK, TX_ACK = range(6)
KEEPALIVE_S = 5.0
"""How often a forwarder asks for downlinks."""
ASK_AGAIN_S = 0.3
"""Likewise, while nobody has answered."""
HEADER_BYTES = 4


class Air(NamedTuple):
    """How a frame was received."""

    datr: str = "SF7BW125"
    freq_mhz: float = 868.1
    rssi_dbm: int = -57
    snr_db: float = 9.5
    crc: int = 1
    """1: right; -1: wrong; 0: none."""


USUAL = Air()


class Ordered(NamedTuple):
    """What the server wants to have sent."""

    phy: bytes
    txpk: Mapping[str, Any]


class Concentrator:
    """The client. It is open within its context."""

    def __init__(
        self, host: str, port: int, eui: str = "b827ebfffe000001", *, keepalive_s: float = KEEPALIVE_S
    ) -> None:
        self._server = (host, port)
        self.eui = eui
        self._eui = bytes.fromhex(eui)
        self._transport: asyncio.DatagramTransport | None = None
        self._asking: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()
        self._keepalive_s = keepalive_s
        self.ordered: asyncio.Queue[Ordered] = asyncio.Queue()
        """Downlinks, in their order."""
        self.refuses: str | None = None
        """Why it will not send the next downlink, such as `TOO_LATE`."""
        self.acknowledged = 0
        """PUSH_DATA that the server answered."""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Protocol(self), remote_addr=self._server)
        self._asking = asyncio.create_task(self._ask())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._asking is not None:
            self._asking.cancel()
        if self._transport is not None:
            self._transport.close()

    async def is_served(self) -> None:
        """Wait until the server answers, now, that it is there."""
        self._answered.clear()
        await self._answered.wait()

    def push(self, phy: bytes, air: Air = USUAL, *, padded: bool = True) -> int:
        """Report a frame; returns the concentrator's clock at its end."""
        at = int(time.monotonic() * 1_000_000) & 0xFFFFFFFF
        data = base64.b64encode(phy).decode()
        rxpk = {
            "tmst": at,
            "chan": 2,
            "rfch": 0,
            "freq": air.freq_mhz,
            "stat": air.crc,
            "modu": "LORA",
            "datr": air.datr,
            "codr": "4/5",
            "lsnr": air.snr_db,
            "rssi": air.rssi_dbm,
            "size": len(phy),
            "data": data if padded else data.rstrip("=").replace("+", "-").replace("/", "_"),
        }
        self.send(PUSH_DATA, json.dumps({"rxpk": [rxpk]}).encode())
        return at

    def send(self, kind: int, body: bytes = b"", token: bytes | None = None) -> None:
        """Send a datagram."""
        if self._transport is not None:
            header = bytes([VERSION]) + (token or secrets.token_bytes(2)) + bytes([kind])
            self._transport.sendto(header + self._eui + body)

    def take(self, datagram: bytes) -> None:
        """Take a datagram of the server."""
        kind, token = datagram[3], datagram[1:3]
        if kind == PUSH_ACK:
            self.acknowledged += 1
        elif kind == PULL_ACK:
            self._answered.set()
        elif kind == PULL_RESP:
            txpk = json.loads(datagram[HEADER_BYTES:])["txpk"]
            error, self.refuses = self.refuses, None
            self.send(TX_ACK, json.dumps({"txpk_ack": {"error": error or "NONE"}}).encode(), token)
            if error is None:
                self.ordered.put_nowait(Ordered(base64.b64decode(txpk["data"]), txpk))

    async def _ask(self) -> None:
        while True:
            self.send(PULL_DATA)
            await asyncio.sleep(self._keepalive_s if self._answered.is_set() else ASK_AGAIN_S)


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, owner: Concentrator) -> None:
        self._owner = owner

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        self._owner.take(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens yet: ask again."""
        del exc
