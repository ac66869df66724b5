"""The concentrators of a site: a UDP socket that hears them, and has them send.

What several of them heard of one frame becomes one: what comes within a short window with the same octets is merged.
Rubbish costs itself: it is counted, and never answered.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from base.errors import TransientError
from base.retry import Backoff
from edge.lorawan import gwmp
from edge.lorawan.duty import Duty
from edge.lorawan.gwmp import DatagramError, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from edge.lorawan.gwmp import Datagram, Reception, Transmission

logger = logging.getLogger(__name__)

MERGE_S = 0.2
"""How long other concentrators may take to report the same frame; RX1 opens 1 s after it."""
ACK_S = 0.4
"""How long a concentrator may take to say that it will not send; old ones say nothing at all."""
MOST_MERGING = 256
"""Frames that wait for their window to end; beyond them, new ones are dropped: nobody's air is that full."""
MOST_CONCENTRATORS = 64
STALE_S = 60.0
"""A concentrator asks for downlinks every few seconds; one that does not is behind no open address any more."""
FORGET_S = 2 * STALE_S
Address: TypeAlias = Any
"""Of a peer, as the socket has it."""


@dataclass
class Concentrator:
    """What is known of one concentrator."""

    eui: str
    address: Address = None
    """Where it asks for downlinks; None before the first time."""
    asked_at_s: float = -math.inf
    duty: Duty = field(default_factory=Duty)


class Concentrators:
    """The socket, and who speaks on it."""

    def __init__(
        self,
        name: str,
        allowed: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`allowed`: EUIs of the concentrators that are heard; all are where it is empty."""
        self._allowed = frozenset(allowed)
        self.on_frame: Callable[[Sequence[Reception]], None] = lambda _: None
        """Takes the receptions of one frame, the best first."""
        self._clock = clock
        self._known: dict[str, Concentrator] = {}
        self._merging: dict[bytes, list[Reception]] = {}
        self._acks: dict[tuple[str, bytes], asyncio.Future[str | None]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._strangers = Backoff(f"bus {name}: a concentrator that is not listed under 'concentrators'", logger)
        self.counts: Counter[str] = Counter()
        """What was heard and sent, by name."""

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port.

        Raises: TransientError where the address cannot be had.
        """
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(lambda: _Protocol(self), local_addr=(host, port))
        except OSError as error:
            raise TransientError(f"cannot listen on UDP {host}:{port}: {error.strerror or error}") from error
        bound: int = self._transport.get_extra_info("sockname")[1]
        return bound

    def close(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        for waiting in self._acks.values():
            waiting.cancel()

    @property
    def is_any_there(self) -> bool:
        """Whether a concentrator has spoken lately."""
        now_s = self._clock()
        return any(now_s - known.asked_at_s <= STALE_S for known in self._known.values())

    def datagram(self, octets: bytes, address: Address) -> None:
        """Take a datagram. Raises nothing."""
        self.counts["datagrams"] += 1
        try:
            datagram = gwmp.parse(octets)
            known = self._concentrator(datagram.gateway)
            if known is None:
                return
            match datagram.kind:
                case Kind.PUSH_DATA:
                    self._send(gwmp.acknowledge(datagram), address)
                    self._pushed(datagram)
                case Kind.PULL_DATA:
                    known.address, known.asked_at_s = address, self._clock()
                    self._send(gwmp.acknowledge(datagram), address)
                case _:
                    self._acknowledged(datagram)
        except DatagramError:
            self.counts["rubbish"] += 1

    def _concentrator(self, eui: str) -> Concentrator | None:
        if self._allowed and eui not in self._allowed:
            self.counts["strangers"] += 1
            self._strangers.failed(eui)
            return None
        if eui not in self._known and len(self._known) >= MOST_CONCENTRATORS and not self._is_one_forgotten():
            self.counts["strangers"] += 1
            return None
        return self._known.setdefault(eui, Concentrator(eui))

    def _is_one_forgotten(self) -> bool:
        """Forget one that has long not asked for downlinks, or never has: who makes names up keeps nobody out."""
        now_s = self._clock()
        gone = next((each.eui for each in self._known.values() if now_s - each.asked_at_s > FORGET_S), None)
        if gone is not None:
            del self._known[gone]
        return gone is not None

    def _pushed(self, datagram: Datagram) -> None:
        heard = gwmp.pushed(datagram, self._clock())
        self.counts["damaged"] += heard.damaged
        self.counts["rubbish"] += heard.unreadable
        for reception in heard.receptions:
            self.counts["receptions"] += 1
            merging = self._merging.get(reception.phy)
            if merging is not None:
                merging.append(reception)
            elif len(self._merging) >= MOST_MERGING:
                self.counts["dropped"] += 1
            else:
                self._merging[reception.phy] = [reception]
                asyncio.get_running_loop().call_later(MERGE_S, self._merged, reception.phy)

    def _merged(self, phy: bytes) -> None:
        receptions = sorted(self._merging.pop(phy), key=_quality, reverse=True)
        self.counts["frames"] += 1
        self.on_frame(receptions)

    def _acknowledged(self, datagram: Datagram) -> None:
        waiting = self._acks.get((datagram.gateway, datagram.token))
        error = gwmp.tx_error(datagram)
        if waiting is not None and not waiting.done():
            waiting.set_result(error)

    def can_send(self, gateway: str) -> bool:
        """Whether a concentrator can be reached."""
        known = self._known.get(gateway)
        return known is not None and known.address is not None and self._clock() - known.asked_at_s <= STALE_S

    def duty(self, gateway: str) -> Duty:
        """Return what a concentrator has sent lately."""
        return self._known[gateway].duty

    async def send(self, gateway: str, transmission: Transmission) -> str | None:
        """Have a concentrator send; returns why it will not, or None where it does not object."""
        token = secrets.token_bytes(2)
        while (gateway, token) in self._acks:
            token = secrets.token_bytes(2)
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._acks[gateway, token] = answer
        try:
            self._send(gwmp.pull_resp(transmission, token), self._known[gateway].address)
            async with asyncio.timeout(ACK_S):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._acks[gateway, token]

    def _send(self, octets: bytes, address: Address) -> None:
        if self._transport is not None:
            self._transport.sendto(octets, address)


def _quality(reception: Reception) -> tuple[float, float]:
    """Order receptions by how well they were heard: RSSI, and where it is not said, SNR."""
    none = -1000.0
    rssi = none if reception.rssi_dbm is None else reception.rssi_dbm
    return rssi, none if reception.snr_db is None else reception.snr_db


class _Protocol(asyncio.DatagramProtocol):
    """What asyncio calls."""

    def __init__(self, owner: Concentrators) -> None:
        self._owner = owner

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Take a datagram."""
        self._owner.datagram(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Count that a datagram of ours did not arrive; its peer has gone."""
        del exc
        self._owner.counts["unreachable"] += 1
