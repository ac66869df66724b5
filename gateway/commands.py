"""Commands on the gateway: who may give one, that it is carried out once, and what is said and written about it.

A message goes through these gates, in this order, and only what passes all of them reaches a handler:

1. it is signed by a key of the configuration. What is not gets no reply: whoever reaches the topic without a key
   learns nothing, and makes nobody talk. It is counted, and logged at a bounded rate;
2. it names this gateway, was not seen before, and has not expired;
3. its id is on disk. Whatever the verdict, an id that was answered is never taken again before it expires;
4. the clock can be believed, the command is valid already, was not retained, and is understood whole.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from base.audit import AuditLog
from base.errors import MessnetzError
from base.retry import Backoff
from gateway.command_handlers import Table, marked
from gateway.command_keys import read_keys
from gateway.command_memory import CommandMemory
from wire import command as wire_command
from wire import signing
from wire.command import Reply
from wire.errors import BadMessageError
from wire.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from gateway.command_handlers import Handlers
    from gateway.config import GatewayConfig
    from gateway.timekeeper import Timekeeper
    from wire.command import Address, Command, Signed, State
    from wire.readings import Sample

logger = logging.getLogger(__name__)

MEMORY_NAME = "commands.jsonl"
AUDIT_NAME = "commands-audit.jsonl"
MAX_AUDIT_BYTES = 1 << 20
AUDITS_KEPT = 2
SKEW_MS = 120_000
"""So far may the clock of city IT be ahead of ours."""
ROUNDING_MS = 2
MOST_ARRIVED = 32
MOST_RUNNING = 8
MOST_UNSENT_REPLIES = 100
LONGEST_RUN_S = 600.0
PROGRESS_S = 10.0
"""How often one that runs is said to run still."""
RETRY_REPLY_S = 1.0
GRACE_S = 2.0
"""How long commands may still run when the agent stops."""


class Commands:
    """Takes commands, has them carried out, and replies. Everything but `message` runs on the agent's loop."""

    def __init__(
        self, config: GatewayConfig, handlers: Handlers, keeper: Timekeeper, publish: Callable[[str, bytes], bool]
    ) -> None:
        """`publish` takes a topic and a payload and returns whether the message could be handed over.

        Raises: ConfigError where a key cannot be read.
        """
        file = config.file
        directory = Path(file.spool.path).parent
        self._gateway = file.gateway
        self.follow(config)
        self._keeper = keeper
        self._publish = publish
        self._began_s = time.monotonic()
        self._memory = CommandMemory(directory / MEMORY_NAME)
        self._audit = AuditLog(directory / AUDIT_NAME, max_bytes=MAX_AUDIT_BYTES, keep=AUDITS_KEPT)
        self._table = Table(file.gateway, handlers, self._memory, self._on_disk)
        self._disk_turn = asyncio.Lock()
        self._arrived: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue(MOST_ARRIVED)
        self._unsent: deque[bytes] = deque(maxlen=MOST_UNSENT_REPLIES)
        self._undecided = 0
        self._running: set[asyncio.Task[None]] = set()
        self._noise = Backoff("commands that nobody with a key of ours has signed", logger)
        self.ignored = 0
        """Messages that got no reply: not signed, or more than could be looked at."""

    def follow(self, config: GatewayConfig) -> None:
        """Obey the keys of a configuration, at its prefix, from now on; its gateway and spool are those of before.

        Raises: ConfigError where a key cannot be read; the former keys hold on then.
        """
        self._keys = read_keys(config.file.command_key)
        topics = Topics(config.file.prefix)
        self._reply_topic = topics.of(self._gateway, "reply")
        self.topic = topics.of(self._gateway, "command") if self._keys else None
        """What to subscribe to; None where no key is configured."""

    def message(self, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - as Handlers.message has it
        """Take a message from the command topic; on the agent's loop, and never blocks."""
        try:
            self._arrived.put_nowait((payload, retained))
            self._undecided += 1
        except asyncio.QueueFull:
            self._ignore(f"over {MOST_ARRIVED} at once")

    @property
    def is_idle(self) -> bool:
        """Whether no message waits for its verdict and no command runs."""
        return not self._undecided and not self._running

    def marked(self, sample: Sample) -> Sample:
        """Return a sample with its readings flagged where it was taken during maintenance."""
        return marked(sample, self._memory)

    async def run(self, stop: asyncio.Event) -> None:
        """Take commands until told to stop; what runs then has a moment to end."""
        stopped, arrival = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._arrived.get())
        try:
            await self._report_unfinished()
            while not stop.is_set():
                self._send_replies()
                wait_s = RETRY_REPLY_S if self._unsent else None
                await asyncio.wait({stopped, arrival}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                if arrival.done():
                    taken, arrival = arrival.result(), asyncio.ensure_future(self._arrived.get())
                    await self._take(*taken)
                    self._undecided -= 1
        finally:
            stopped.cancel()
            arrival.cancel()
            await self._finish()

    async def _report_unfinished(self) -> None:
        """Say of commands that ran when the last agent died that they did not end well."""
        for command in self._memory.unfinished():
            text = "the agent ended while it ran: nobody knows how far it came, and it is not run again"
            await self._end(command, "failed", text)

    async def _finish(self) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=GRACE_S)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._send_replies()
        self._memory.close()

    async def _take(self, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - as `message`
        try:
            signed = wire_command.open_signed(payload)
            self._verify(signed)
            address = wire_command.address(signed)
        except BadMessageError as error:
            self._ignore(error)
            return
        try:
            await self._judge(signed, address, is_retained=retained)
        except MessnetzError as error:  # the disk, or too many: what cannot be remembered is not done
            await self._refuse(address, signed, str(error))
        except Exception:
            logger.exception("command %s", address.id)
            await self._refuse(address, signed, "an internal error; the agent's log has it")

    def _verify(self, signed: Signed) -> None:
        key = self._keys.get(signed.key)
        if key is None:
            raise BadMessageError("a command by a key that is not ours")
        if not signing.is_signed(key, signed.message(), signed.signature):
            raise BadMessageError("a command whose signature is not its key's")

    def _ignore(self, reason: BadMessageError | str) -> None:
        self.ignored += 1
        self._noise.failed(reason)

    async def _judge(self, signed: Signed, address: Address, *, is_retained: bool) -> None:
        refusal = await self._old_or_foreign(address)
        if refusal is not None:
            await self._refuse(address, signed, refusal)
            return
        command, refusal = self._understand(signed, address, is_retained=is_retained)
        state: State = "accepted" if refusal is None else "refused"
        await self._on_disk(lambda: self._memory.remember(address.id, address.expires_at_ms, state))
        if command is None or refusal is not None:
            await self._refuse(address, signed, refusal or "")
            return
        self._reply(command.id, "accepted", f"{_name(command)} accepted")
        await self._write_down(command.id, signed, "accepted", "")
        task = asyncio.create_task(self._carry_out(command, signed))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _old_or_foreign(self, address: Address) -> str | None:
        """Why a command is refused that need not be remembered: it never becomes valid, or is remembered already."""
        memory, now_ms = self._memory, self._keeper.now_ms()
        is_timed = self._keeper.is_synchronised()
        if address.gateway != self._gateway:
            return f"addressed to gateway {address.gateway}"
        if is_timed and memory.is_blank:
            await self._on_disk(lambda: memory.begin(self._keeper.wall_ms(self._began_s) - ROUNDING_MS))
        if is_timed:
            await self._on_disk(lambda: memory.forget_expired(now_ms))
        before = memory.state_of(address.id)
        if before is not None:
            return f"received before ({before}); a command is carried out once"
        if is_timed and address.expires_at_ms < now_ms:
            return f"expired {(now_ms - address.expires_at_ms) / 1000:.0f} s ago by the gateway's clock"
        if is_timed and memory.is_forgotten(address.issued_at_ms, address.expires_at_ms):
            return "older than what this gateway remembers of commands; send it again as a new one"
        return None

    def _understand(self, signed: Signed, address: Address, *, is_retained: bool) -> tuple[Command | None, str | None]:
        """Decode a command; returns it, or why it is refused."""
        ahead_ms = address.issued_at_ms - self._keeper.now_ms()
        if not self._keeper.is_synchronised():
            return None, NO_TIME
        if ahead_ms > SKEW_MS:
            return None, f"not valid yet: issued {ahead_ms / 1000:.0f} s ahead of the gateway's clock"
        if is_retained:
            return None, "retained by the broker: a command is for now, and for once"
        if len(self._running) >= MOST_RUNNING:
            return None, f"{MOST_RUNNING} commands run already; try later"
        try:
            return wire_command.decode(signed), None
        except BadMessageError as error:
            return None, str(error)

    async def _carry_out(self, command: Command, signed: Signed) -> None:
        ticking = asyncio.create_task(self._tick(command))
        state: State = "failed"
        result = None
        try:
            async with asyncio.timeout(LONGEST_RUN_S):
                text, result = await self._table.carry_out(command.action)
            state = "done"
        except MessnetzError as error:
            text = str(error)
        except TimeoutError:
            text = f"not done in {LONGEST_RUN_S:g} s"
        except asyncio.CancelledError:
            text = "the agent was stopped before it was done"
        except Exception:
            logger.exception("command %s", command.id)
            text = "an internal error; the agent's log has it"
        finally:
            ticking.cancel()
        await self._end(command.id, state, text, result, signed)

    async def _tick(self, command: Command) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            self._reply(command.id, "progress", f"{_name(command)} is under way")

    async def _end(
        self, command: str, state: State, text: str, result: dict[str, Any] | None = None, signed: Signed | None = None
    ) -> None:
        """Remember, write down and say how a command ended. Where the disk refuses, it is still said."""
        try:
            await self._on_disk(lambda: self._memory.end(command, state))
        except MessnetzError as error:
            logger.error("command %s: %s", command, error)  # noqa: TRY400 - a sentence, no trace
        self._reply(command, state, text, result)
        await self._write_down(command, signed, state, text)

    async def _refuse(self, address: Address, signed: Signed, reason: str) -> None:
        self._reply(address.id, "refused", reason)
        await self._write_down(address.id, signed, "refused", reason)

    async def _on_disk(self, call: Callable[[], None]) -> None:
        """Run a call that waits for the disk away from the loop; one at a time."""
        async with self._disk_turn:
            await asyncio.get_running_loop().run_in_executor(None, call)

    async def _write_down(self, command: str, signed: Signed | None, state: State, text: str) -> None:
        """Write into the journal and into the audit log."""
        asked = _asked(signed)
        logger.info("command %s %s %s: %s", command, msgspec.json.encode(asked).decode(), state, text)
        key = None if signed is None else signed.key
        entry = {
            "at_ms": self._keeper.now_ms(),
            "id": command,
            "key": key,
            "action": asked,
            "state": state,
            "text": text,
        }
        try:
            await self._on_disk(lambda: self._audit.add(entry))
        except MessnetzError as error:
            logger.error("%s", error)  # noqa: TRY400 - a sentence, no trace

    def _reply(self, command: str, state: State, text: str, result: dict[str, Any] | None = None) -> None:
        reply = Reply(command, self._gateway, state, text, result)
        try:
            payload = wire_command.encode_reply(reply)
        except Exception:  # a driver's result that is no JSON
            logger.exception("command %s: the result is left out", command)
            payload = wire_command.encode_reply(msgspec.structs.replace(reply, result=None))
        self._unsent.append(payload)
        self._send_replies()

    def _send_replies(self) -> None:
        while self._unsent:
            if not self._publish(self._reply_topic, self._unsent[0]):
                return
            self._unsent.popleft()


NO_TIME = "the gateway's clock is not synchronised, so it cannot judge whether a command has expired"


class _Asked(msgspec.Struct):
    action: msgspec.Raw = msgspec.Raw(b"null")


def _asked(signed: Signed | None) -> object:
    """What was asked for, as it was signed; None where that cannot be read."""
    if signed is None:
        return None
    try:
        return msgspec.json.decode(msgspec.json.decode(signed.payload, type=_Asked).action)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _name(command: Command) -> str:
    return type(command.action).__name__.lower()
