"""A small network server: LoRaWAN 1.0.x, class A, EU868, for the concentrators of one site.

It answers joins, confirmed uplinks, and devices that ask whether anybody hears them (ADRACKReq, LinkCheckReq) or what
time it is; tells those that are heard well to send faster; and sends what waits for a device.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from base.errors import MessnetzError, PermanentError
from base.retry import Backoff
from edge.lorawan import answers, crypto, eu868, mac, phy
from edge.lorawan.counter import Kind
from edge.lorawan.phy import Accept, Data, FrameError, JoinRequest, MType
from edge.lorawan.session import Session
from edge.lorawan.state import NewSession, key_id
from edge.lorawan.transmitter import DIPOLE_DBI, JOIN_RX1_S, RX1_S, Transmitter
from edge.lorawan.uplink import Radio, Uplink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge.lorawan.concentrators import Concentrators
    from edge.lorawan.gwmp import Reception
    from edge.lorawan.keys import DeviceKeys
    from edge.lorawan.phy import Frame
    from edge.lorawan.state import Downlink, State

logger = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Uplinks that nobody has taken yet."""
MOST_AT_ONCE = 64
"""Frames that are answered at the same time."""
MOST_TRIES = 3
"""Of a confirmed downlink."""
MOST_REPEATS = 8
"""Acknowledgements of one frame: as often a device repeats it (1.0.4, 19.2); whoever repeats it more often is none, and
would use up downlink counters."""
GIVEN_ADDRESSES = 1 << 25


@dataclass(frozen=True)
class Member:
    """A device that the server serves."""

    dev_eui: str
    keys: DeviceKeys = field(repr=False)
    may_reset: bool = False
    """Whether a device without join may begin to count anew: then who recorded its first frames may send them again."""

    @property
    def key_id(self) -> str:
        """What tells its key from another one."""
        if self.keys.app_key is not None:
            return key_id(self.keys.app_key)
        address = (self.keys.dev_addr or 0).to_bytes(4, "big")
        return key_id(address, self.keys.nwk_s_key or b"", self.keys.app_s_key or b"")


class Received(NamedTuple):
    """An uplink, and what is to be done around its seal."""

    uplink: Uplink
    lost: int
    """Frames before it that did not come."""
    at_s: float
    """When it came, on the monotonic clock."""
    before_sealing: Callable[[], None]
    """Commits its counter; on any thread."""
    taken: asyncio.Event
    """To be set when it is in the hands of whoever seals it: a confirmed one is acknowledged then."""


class Network:
    """The server. Everything but `State` runs on the event loop."""

    def __init__(
        self,
        name: str,
        state: State,
        concentrators: Concentrators,
        *,
        net_id: int = 0,
        antenna_gain_dbi: float = DIPOLE_DBI,
    ) -> None:
        self._name, self._state = name, state
        self._net_id = net_id
        self._transmitter = Transmitter(name, concentrators, antenna_gain_dbi)
        self._members: dict[str, Member] = {}
        self._sessions: defaultdict[int, list[Session]] = defaultdict(list)
        self._downlinks: dict[int, Downlink] = {}
        self._awaits_ack: dict[str, int] = {}
        """DevEUI -> the confirmed downlink that was sent last."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused = Backoff(f"bus {name}: refused", logger)
        self._faults = Backoff(f"bus {name}: state", logger)
        self.patience_s = 0.0
        """How long the acknowledgement of an uplink waits for `Received.taken`."""
        self.uplinks: asyncio.Queue[Received] = asyncio.Queue(MOST_WAITING)
        self.counts: Counter[str] = concentrators.counts
        self.heard: Counter[str] = Counter()
        """DevEUI -> frames with a right MIC, old ones included."""
        self.refused: Counter[str] = Counter()
        """DevEUI -> replays, counter resets, used nonces and wrong MICs of joins among them."""

    def serve(self, members: Mapping[str, Member]) -> None:
        """Serve these devices, by DevEUI.

        Sessions of devices that are gone stay on disk, for they may come back; those of another key are forgotten.

        Raises: TransientError where the disk does not let it.
        """
        now_s = time.monotonic()
        known = {session.id: session for sessions in self._sessions.values() for session in sessions}
        kept: defaultdict[int, list[Session]] = defaultdict(list)
        for row in self._state.sessions():
            member = members.get(row.dev_eui)
            if member is None:
                continue
            if member.key_id != row.key_id:
                self._state.forget(row.id)
                continue
            kept[row.dev_addr].append(known.get(row.id) or Session(row, now_s))
        for member in members.values():
            keys = member.keys
            if keys.app_key is not None or keys.dev_addr is None or keys.nwk_s_key is None or keys.app_s_key is None:
                continue
            if not any(session.dev_eui == member.dev_eui for session in kept[keys.dev_addr]):
                new = NewSession(keys.dev_addr, keys.nwk_s_key, keys.app_s_key)
                kept[keys.dev_addr].append(Session(self._state.keep_abp(member.dev_eui, member.key_id, new), now_s))
        self._members, self._sessions = dict(members), kept
        self._downlinks = {each.id: each for each in self._state.downlinks()}
        unsure = [each for each in self._downlinks.values() if each.is_confirmed and each.state == "sent"]
        self._awaits_ack = {each.dev_eui: each.id for each in unsure}

    async def close(self) -> None:
        """End what is under way; numbers that were reserved and not used are given back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sessions in self._sessions.values():
            for session in sessions:
                if session.reserved:
                    first, end = session.reserved.start, session.reserved.stop
                    session.reserved = range(0)
                    await asyncio.to_thread(self._state.give_back, session.id, first, end)

    def frame(self, receptions: Sequence[Reception]) -> None:
        """Take what the concentrators heard of one frame, the best first. Raises nothing."""
        try:
            frame = phy.parse(receptions[0].phy)
        except FrameError:
            self.counts["rubbish"] += 1
            return
        if len(self._tasks) >= MOST_AT_ONCE:
            self.counts["dropped"] += 1
            return
        task = asyncio.get_running_loop().create_task(self._serve_one(frame, receptions))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_one(self, frame: Frame, receptions: Sequence[Reception]) -> None:
        try:
            if isinstance(frame, JoinRequest):
                await self._join(frame, receptions)
            elif isinstance(frame, Data) and not frame.is_down:
                await self._data(frame, receptions)
            else:
                self.counts["foreign"] += 1
        except MessnetzError as error:
            self.counts["faults"] += 1
            self._faults.failed(error)
        except Exception:
            self.counts["faults"] += 1
            logger.exception("bus %s", self._name)

    # Joining

    async def _join(self, request: JoinRequest, receptions: Sequence[Reception]) -> None:
        member = self._members.get(request.dev_eui)
        app_key = member.keys.app_key if member is not None else None
        if member is None or app_key is None:
            self.counts["foreign"] += 1
            return
        if not crypto.is_mic(request.mic, crypto.join_request_mic(app_key, request)):
            self._refuse("join_bad_mic", request.dev_eui, "a join request with a wrong MIC: is the app_key right?")
            return
        try:
            join_nonce, row = await asyncio.to_thread(
                self._state.join,
                request.dev_eui,
                member.key_id,
                request.dev_nonce,
                lambda nonce: self._new_session(app_key, nonce, request.dev_nonce),
            )
        except PermanentError as error:
            self._refuse("join_refused", request.dev_eui, str(error))
            return
        for sessions in self._sessions.values():
            sessions[:] = [each for each in sessions if each.dev_eui != row.dev_eui or not each.is_offered]
        self._sessions[row.dev_addr].append(Session(row, time.monotonic()))
        self.counts["joins"] += 1
        logger.info("bus %s: device %s joins as %08x", self._name, row.dev_eui, row.dev_addr)
        accept = Accept(join_nonce, self._net_id, row.dev_addr, rx_delay_s=round(RX1_S), cf_list=eu868.cf_list())
        await self._transmitter.send(crypto.seal_accept(app_key, accept), receptions, JOIN_RX1_S)

    def _new_session(self, app_key: bytes, join_nonce: int, dev_nonce: int) -> NewSession:
        keys = crypto.session_keys(app_key, join_nonce, self._net_id, dev_nonce)
        prefix = (self._net_id & 0x3F) << 25
        address = prefix | secrets.randbelow(GIVEN_ADDRESSES)
        while self._sessions.get(address):
            address = prefix | secrets.randbelow(GIVEN_ADDRESSES)
        return NewSession(address, keys.nwk_s_key, keys.app_s_key)

    def _refuse(self, what: str, dev_eui: str, why: str) -> None:
        self.counts[what] += 1
        self.refused[dev_eui] += 1
        self._refused.failed(f"{dev_eui}: {why}")

    # Uplinks

    async def _data(self, frame: Data, receptions: Sequence[Reception]) -> None:
        now_s = time.monotonic()
        candidates = list(self._sessions.get(frame.dev_addr, ()))
        for session in candidates:
            verdict = session.judge(frame, now_s)
            if verdict.kind is not Kind.BAD_MIC:
                break
        else:
            self.counts["bad_mic" if candidates else "foreign"] += 1
            return
        self.heard[session.dev_eui] += 1
        member = self._members[session.dev_eui]
        if verdict.kind is Kind.DUPLICATE:
            self.counts["duplicates"] += 1
            session.repeats += 1
            if frame.is_confirmed and session.repeats <= MOST_REPEATS:  # our acknowledgement was lost
                await self._answer(session, frame, [], receptions)
            return
        self.counts[verdict.kind.value] += 1
        if verdict.kind is Kind.REPLAY or (verdict.kind is Kind.RESET and not member.may_reset):
            session.counter.refuse(verdict)
            self._refuse("refused", session.dev_eui, _why(verdict.kind, verdict.f_cnt))
            return
        lost = session.take(verdict, frame, now_s)
        self._state.taken(session.id, session.run, verdict.f_cnt)
        self._end_former(session)
        said = self._mac_answers(session, frame, verdict.f_cnt, receptions)
        self._acknowledged(session, frame)
        taken = self._hand_on(session, frame, verdict.f_cnt, lost, receptions)
        if frame.is_confirmed and self.patience_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.patience_s):
                    await taken.wait()
        await self._answer(session, frame, said, receptions)

    def _end_former(self, session: Session) -> None:
        """End the sessions of a device before the one in which it speaks now."""
        for sessions in self._sessions.values():
            sessions[:] = [each for each in sessions if each.dev_eui != session.dev_eui or each.id >= session.id]

    def _hand_on(
        self, session: Session, frame: Data, f_cnt: int, lost: int, receptions: Sequence[Reception]
    ) -> asyncio.Event:
        best, taken = receptions[0], asyncio.Event()
        is_application = bool(frame.f_port)
        uplink = Uplink(
            session.dev_eui,
            f_port=frame.f_port or 0,
            f_cnt=f_cnt,
            payload=session.open(frame, f_cnt) if is_application else b"",
            radio=Radio(
                best.rssi_dbm,
                best.snr_db,
                best.rate.spreading_factor,
                best.rate.bandwidth_hz,
                best.frequency_hz,
                best.coding_rate,
                len(receptions),
            ),
            is_confirmed=frame.is_confirmed,
            session=session.name,
            size=len(best.phy),
        )
        run, state = session.run, self._state

        def before_sealing() -> None:
            state.sealed(session.id, session.dev_eui, run, f_cnt)

        try:
            self.uplinks.put_nowait(Received(uplink, lost, best.at_s, before_sealing, taken))
        except asyncio.QueueFull:
            self.counts["dropped"] += 1
        return taken

    def _mac_answers(
        self, session: Session, frame: Data, f_cnt: int, receptions: Sequence[Reception]
    ) -> list[mac.Command]:
        commands, _ = mac.parse(session.open(frame, f_cnt) if frame.f_port == 0 else frame.f_opts)
        for command in commands:
            if command.cid == mac.LINK_ADR:
                session.adr.answered(command.body[0])
        session.adr.heard(max(answers.snr_db(each) for each in receptions), is_wanted=frame.adr)
        asked = list(dict.fromkeys(command.cid for command in commands))
        said = answers.to(asked, receptions, time.time() - (time.monotonic() - receptions[0].at_s))
        request = session.adr.request(receptions[0].rate)
        return said if request is None else [*said, request]

    # Downlinks

    def _acknowledged(self, session: Session, frame: Data) -> None:
        """Take the device's word on a confirmed downlink, or its silence."""
        number = self._awaits_ack.pop(session.dev_eui, None)
        downlink = self._downlinks.get(number) if number is not None else None
        if downlink is None:
            return
        if frame.ack:
            self._note(downlink._replace(state="acknowledged"))
        elif downlink.tries >= MOST_TRIES:
            self._note(downlink._replace(state="failed"))
        else:
            self._note(downlink._replace(state="queued"))

    def _note(self, downlink: Downlink) -> None:
        self._downlinks[downlink.id] = downlink
        task = asyncio.get_running_loop().create_task(self._keep(downlink))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, downlink: Downlink) -> None:
        try:
            await asyncio.to_thread(self._state.update, downlink)
        except MessnetzError as error:
            self._faults.failed(error)

    async def queue(self, dev_eui: str, port: int, payload: bytes, *, is_confirmed: bool) -> Downlink:
        """Keep a downlink for a device until it has spoken.

        Raises: PermanentError where it is too long for any data rate, or too many wait; TransientError where the disk
        does not let it.
        """
        if len(payload) > eu868.MAX_PAYLOAD_BYTES:
            raise PermanentError(f"{len(payload)} octets; EU868 carries {eu868.MAX_PAYLOAD_BYTES} at most")
        downlink = await asyncio.to_thread(self._state.queue, dev_eui, port, payload, is_confirmed=is_confirmed)
        self._downlinks[downlink.id] = downlink
        return downlink

    def downlinks(self, dev_eui: str) -> list[Downlink]:
        """Return what waits for a device, and what became of the last ones."""
        return [each for each in self._downlinks.values() if each.dev_eui == dev_eui]

    async def _answer(
        self, session: Session, frame: Data, commands: Sequence[mac.Command], receptions: Sequence[Reception]
    ) -> None:
        """Send what an uplink asks for, and what waits for its device; nothing where that is nothing."""
        rate = receptions[0].rate
        f_opts = b"".join(command.octets() for command in commands)
        room = rate.max_payload_bytes - len(f_opts)
        queued = [each for each in self.downlinks(session.dev_eui) if each.state == "queued"]
        fitting = [each for each in queued if len(each.payload) <= room]
        downlink = fitting[0] if fitting else None
        if not (frame.is_confirmed or frame.adr_ack_req or f_opts or downlink):
            return
        f_cnt = session.next_down()
        if f_cnt is None:
            session.reserved = await asyncio.to_thread(self._state.reserve, session.id)
            f_cnt = session.next_down()
            assert f_cnt is not None  # noqa: S101 - a block is not empty
        down = Data(
            MType.CONFIRMED_DOWN if downlink is not None and downlink.is_confirmed else MType.UNCONFIRMED_DOWN,
            session.dev_addr,
            f_cnt,
            f_port=None if downlink is None else downlink.port,
            payload=b"" if downlink is None else downlink.payload,
            f_opts=f_opts,
            adr=frame.adr,
            ack=frame.is_confirmed,
            f_pending=len(fitting) > 1,
        )
        is_sent = await self._transmitter.send(crypto.seal(session.keys, down, f_cnt), receptions, RX1_S)
        if downlink is not None and is_sent:
            if downlink.is_confirmed:
                self._awaits_ack[session.dev_eui] = downlink.id
            self._note(downlink._replace(state="sent", tries=downlink.tries + 1))


def _why(kind: Kind, f_cnt: int) -> str:
    if kind is Kind.REPLAY:
        return f"frame {f_cnt} again, which was heard before: a replay"
    return f"frame {f_cnt}: the device counts anew, or somebody repeats its first frames (`counter_reset: accept`)"
