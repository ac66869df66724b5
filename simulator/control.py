"""How a running demo is told to break something: one JSON object a line through a Unix socket.

`{"target","kind","how","delay_s","for_s"}`; kind `mend` ends what is wrong. Answered by `{}` or `{"error"}`.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from simulator.faults import DELAY_S
from simulator.processes import DemoError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.meters import Meters

DEMO_PREFIX = "messnetz-demo-"
SOCKET = "control.sock"
ANSWER_TIMEOUT_S = 10.0
MOST_BYTES = 4096


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be broken, and how."""

    target: str
    kind: str
    how: str = ""
    delay_s: float = DELAY_S
    for_s: float | None = None


class Answer(msgspec.Struct, frozen=True):
    """Empty where it was done."""

    error: str = ""


_orders = msgspec.json.Decoder(Order)
_answers = msgspec.json.Decoder(Answer)


@asynccontextmanager
async def serve(path: Path, meters: Meters) -> AsyncIterator[None]:
    """Take orders for a town's meters while the context lasts.

    Raises: OSError where the socket cannot be made.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await _done(line, meters)) + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass  # who asked went away, or sent no line
        finally:
            writer.close()

    server = await asyncio.start_unix_server(talk, path, limit=MOST_BYTES)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - takes no time


async def _done(line: bytes, meters: Meters) -> Answer:
    try:
        order = _orders.decode(line)
        if order.kind == "mend":
            await meters.mend(order.target)
        else:
            await meters.fault(order.target, order.kind, how=order.how, delay_s=order.delay_s, for_s=order.for_s)
    except (ValueError, msgspec.DecodeError, OSError, RuntimeError) as error:
        return Answer(str(error))
    return Answer()


def give(path: Path, order: Order) -> None:
    """Give an order to a running demo.

    Raises: DemoError where none runs there, or it cannot do that.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(order) + b"\n")
            with connection.makefile("rb") as answers:
                answer = _answers.decode(answers.readline(MOST_BYTES))
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise DemoError(f"no demo runs in {path.parent}") from error
    except (OSError, msgspec.DecodeError) as error:
        raise DemoError(f"the demo in {path.parent} does not answer ({error})") from error
    if answer.error:
        raise DemoError(answer.error)


def find(directory: Path | None) -> Path:
    """Return the socket of the demo that runs in a directory, or of the only one that runs at all.

    Raises: DemoError where there is none, or more than one to choose from.
    """
    if directory is not None:
        return directory / SOCKET
    running = [path for path in Path(tempfile.gettempdir()).glob(f"{DEMO_PREFIX}*/{SOCKET}") if _is_served(path)]
    if len(running) != 1:
        found = f"{len(running)} demos run" if running else "no demo runs"
        raise DemoError(f"{found} in {tempfile.gettempdir()}; name the directory of one with --in")
    return running[0]


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.connect(str(path))
        return True
    return False
