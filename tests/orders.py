"""A gateway that takes commands, for tests: keys, a world of handlers, and what was replied."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from base.errors import PermanentError
from gateway import clock
from gateway.command_handlers import Handlers
from gateway.commands import Commands
from gateway.config import GatewayConfig, GatewayFile
from gateway.timekeeper import Timekeeper
from wire import command as wire_command
from wire import signing
from wire.command import Command, Read, Reply
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wire.command import Action, Configure, Downlink

PRIVATE, OTHER_PRIVATE = bytes(range(32)), bytes(range(1, 33))
PUBLIC = signing.write_key(signing.public_key(PRIVATE))
GATEWAY = "school-gw"


def order(action: Action | None = None, **changed: Any) -> Command:  # noqa: ANN401 - whatever a command has
    """A command that is in order, issued now."""
    now_ms = clock.now_ms()
    members: dict[str, Any] = {
        "gateway": GATEWAY,
        "id": wire_command.new_id(),
        "issued_at_ms": now_ms,
        "expires_at_ms": now_ms + 60_000,
        "action": action or Read(device="meter"),
    }
    return Command(**members | changed)


def sign(command: Command, private: bytes = PRIVATE) -> bytes:
    """Sign it as city IT does."""
    return wire_command.sign(command, private)


def sign_text(payload: str, private: bytes = PRIVATE) -> bytes:
    """Sign any text as if it were a command."""
    signature = signing.sign(private, wire_command.CONTEXT + payload.encode())
    key = signing.key_id(signing.public_key(private))
    return msgspec.json.encode(wire_command.Signed(payload, signature, key))


async def until(condition: Callable[[], bool]) -> None:
    """Wait, for other tasks of this loop to do something."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - any condition, and of code that knows nothing of the test
            await asyncio.sleep(0.001)


@dataclass
class Device:
    """Stands for a bus's poller with the device `meter`; says what reached it."""

    reached: list[object] = field(default_factory=list)
    on_read: Callable[[], Awaitable[None]] | None = None

    async def read(self, device: str) -> Sample:
        """Answer with one reading."""
        self.reached.append(device)
        if self.on_read is not None:
            await self.on_read()
        return Sample(device, clock.now_ms(), (Reading("voltage", 230.0, "V", "L1"),))

    async def carry_out(self, command: Configure | Downlink) -> dict[str, Any]:
        """Answer as a driver that cannot."""
        self.reached.append(command)
        raise PermanentError("the driver of bus hall cannot")


class Gateway:
    """Commands on a directory, with a broker that is a list."""

    def __init__(
        self,
        directory: Path,
        *,
        keys: str | list[str] = PUBLIC,
        keeper: Timekeeper | None = None,
        **handlers: Any,  # noqa: ANN401 - whatever the agent lends
    ) -> None:
        self.device = Device()
        self.replies: list[Reply] = []
        self.is_connected = True
        self._runner = asyncio.Runner()
        self._directory = directory
        lent = Handlers(lambda device: self.device if device == "meter" else None, **handlers)  # type: ignore[arg-type, return-value]
        self.commands = Commands(self.config(keys), lent, keeper or Timekeeper("trusted"), self._publish)
        self.commands._began_s -= 10  # what a test has signed before was issued after this start

    def config(self, keys: str | list[str]) -> GatewayConfig:
        """Return its configuration with other keys."""
        content = {
            "gateway": GATEWAY,
            "mqtt": {"host": "h"},
            "buses": [{}],
            "spool": {"path": str(self._directory / "spool.sqlite")},
            "command_key": keys,
        }
        return GatewayConfig(Path("gw.yaml"), msgspec.convert(content, GatewayFile), (), "", {}, ())

    def _publish(self, topic: str, payload: bytes) -> bool:
        assert topic == f"messnetz/{GATEWAY}/reply"
        if self.is_connected:
            self.replies.append(wire_command.decode_reply(payload))
        return self.is_connected

    def take(self, *messages: bytes, retained: bool = False) -> list[tuple[str, str]]:
        """Run until these messages are dealt with; returns state and text of each reply to them."""
        before = len(self.replies)

        async def play() -> None:
            stop = asyncio.Event()
            running = asyncio.create_task(self.commands.run(stop))
            for message in messages:
                self.commands.message(message, retained)
            await until(lambda: self.commands.is_idle)
            stop.set()
            await running

        self._runner.run(play())
        return [(reply.state, reply.text) for reply in self.replies[before:]]

    def close(self) -> None:
        """End its loop."""
        self._runner.close()

    def states(self, *messages: bytes, retained: bool = False) -> list[str]:
        """Return the states alone."""
        return [state for state, _ in self.take(*messages, retained=retained)]
