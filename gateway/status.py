"""What the agent says of itself: retained on MQTT, and to `messnetz gateway status` through a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import MessnetzError, TransientError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

logger = logging.getLogger(__name__)

ASK_TIMEOUT_S = 5.0
IDLE_S = 60.0
MAX_REPLY_BYTES = 1 << 20


def machine() -> str:
    """Return machine id and CPU serial number, by which two machines under one gateway id show."""
    return "/".join(filter(None, (_first_line("/etc/machine-id"), _cpu_serial()))) or "unknown"


def _first_line(file: str) -> str:
    try:
        return Path(file).read_text(encoding="ascii").strip()[:64]
    except (OSError, UnicodeDecodeError):
        return ""


def _cpu_serial() -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("Serial"):
                return line.partition(":")[2].strip()
    return ""


@contextlib.asynccontextmanager
async def serve(path: Path, answer: Callable[[], Awaitable[dict[str, object]]]) -> AsyncIterator[None]:
    """Answer every line on a Unix socket with one JSON object, while the context lasts.

    Raises: TransientError where the socket cannot be made.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _line(reader):
                writer.write(json.dumps(await _answered(answer)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # the asker went away, sent no line, or forgot us
        finally:
            writer.close()

    listener = _listen(path)
    server = await asyncio.start_unix_server(talk, sock=listener)
    try:
        yield
    finally:
        server.close()
        _remove(path)


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(IDLE_S):
        return await reader.readline()


async def _answered(answer: Callable[[], Awaitable[dict[str, object]]]) -> dict[str, object]:
    try:
        return await answer()
    except MessnetzError as error:  # a spool that is ill: just when somebody asks
        return {"error": str(error)}


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(path)  # the spool's lock says that no other agent runs: what lies there was left behind
        listener.bind(str(path))
        path.chmod(0o660)
    except OSError as error:
        listener.close()
        raise TransientError(f"{path}: the status socket cannot be made ({error})") from error
    return listener


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def ask(path: Path) -> dict[str, object] | None:
    """Ask a running agent for its status; None where none runs.

    Raises: TransientError where one runs and does not answer.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ASK_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(b"status\n")
            with connection.makefile("rb") as replies:
                reply = json.loads(replies.readline(MAX_REPLY_BYTES))
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except (OSError, ValueError) as error:
        raise TransientError(f"{path}: the agent does not answer ({error})") from error
    if "error" in reply:
        raise TransientError(str(reply["error"]))
    return dict(reply)
