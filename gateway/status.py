"""What the agent says to those who ask on its machine: a Unix socket, one JSON object a line both ways."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from base import strict_yaml
from base.errors import ConfigError, MessnetzError, Position, TransientError
from gateway.config import DEFAULT_SOCKET, SpoolConfig
from gateway.machine import ROOT
from wire.batch import TimeMs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

logger = logging.getLogger(__name__)

ASK_TIMEOUT_S = 5.0
IDLE_S = 60.0
MAX_REPLY_BYTES = 16 << 20


def machine(root: Path = ROOT) -> str:
    """Return machine id and the board's serial number, by which two machines under one gateway id show.

    A copied card has the same machine id. `root`: where the machine's files are.
    """
    return "/".join(filter(None, (_first_line(root / "etc/machine-id"), _serial(root)))) or "unknown"


def _serial(root: Path) -> str:
    """The serial number of a Raspberry Pi, or of another board; not every kernel has it in both places."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in (root / "proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("Serial"):
                return line.partition(":")[2].strip()
    return _first_line(root / "proc/device-tree/serial-number")


def _first_line(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip("\0 \n")[:64]
    except (OSError, UnicodeDecodeError):
        return ""


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of who asks: a command, and what it needs."""

    command: Literal["status", "reload", "resend"]
    latest: bool = False
    """With `status`: the last values of every device, too."""
    from_ms: TimeMs = 0
    """With `resend`: what was confirmed or measured from then on (Unix time in ms) ..."""
    to_ms: TimeMs = 0
    """... until then."""

    def __post_init__(self) -> None:
        if self.from_ms > self.to_ms:
            raise ValueError("from_ms is after to_ms")


Answer: TypeAlias = "Callable[[Asked], Awaitable[dict[str, object]]]"
_commands = msgspec.json.Decoder(Asked)


@contextlib.asynccontextmanager
async def serve(path: Path, answer: Answer) -> AsyncIterator[None]:
    """Answer every line on a Unix socket, one JSON object for one, while the context lasts.

    Raises: TransientError where the socket cannot be made, or somebody answers on it.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await _line(reader):
                writer.write(json.dumps(await _answered(answer, line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # the asker went away, sent no line, or forgot us
        finally:
            writer.close()

    listener = _listen(path)
    own = _inode(path)
    server = await asyncio.start_unix_server(talk, sock=listener)
    try:
        yield
    finally:
        server.close()
        if own == _inode(path):  # another one may lie there by now
            _remove(path)


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(IDLE_S):
        return await reader.readline()


async def _answered(answer: Answer, line: bytes) -> dict[str, object]:
    try:
        return await answer(_commands.decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return {"error": f"no command: {error}"}
    except ConfigError as error:
        at = {"file": str(error.at.file), "line": error.at.line, "column": error.at.column}
        return {"error": str(error), **at, "found": error.found, "expected": error.expected}
    except MessnetzError as error:  # a spool that is ill: just when somebody asks
        return {"error": str(error)}
    except Exception as error:
        logger.exception("answering %r", line[:200])
        return {"error": f"internal error: {error}, please report"}


def _listen(path: Path) -> socket.socket:
    if _is_answered(path):
        raise TransientError(
            f"{path}: another agent answers on this socket; stop it, or name another path as `socket` in one of the two"
        )
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(path)  # left behind: nobody answers
        listener.bind(str(path))
        path.chmod(0o660)
    except OSError as error:
        listener.close()
        remedy = "let the service's user write there, or name another path as `socket`"
        raise TransientError(
            f"{path}: the status socket cannot be made ({error.strerror or error}); {remedy}"
        ) from error
    return listener


def _is_answered(path: Path) -> bool:
    """Whether somebody takes connections there; one that is too busy to take another one does, too."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ASK_TIMEOUT_S)
        try:
            connection.connect(str(path))
        except (TimeoutError, BlockingIOError):
            return True
        except OSError:
            return False
        return True


def _inode(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        found = path.lstat()
        return found.st_dev, found.st_ino
    return None


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


class _SpoolPlace(msgspec.Struct, frozen=True):
    path: str = SpoolConfig().path


class Place(msgspec.Struct, frozen=True):
    """Where a gateway's agent is asked: of its file only what that takes, whatever else there is wrong with it."""

    gateway: str = ""
    socket: str = DEFAULT_SOCKET
    spool: _SpoolPlace = _SpoolPlace()


def place(file: Path) -> Place:
    """Find an agent by its file; one that is broken must not hide an agent that runs well on the one before.

    Raises: ConfigError where the file does not say where its agent is, and none runs at the usual place.
    """
    try:
        return strict_yaml.load(file).convert(Place)
    except ConfigError:
        if not Path(DEFAULT_SOCKET).exists():
            raise
        return Place()


def ask(path: Path, timeout_s: float = ASK_TIMEOUT_S, **asked: object) -> dict[str, object] | None:
    """Ask a running agent, for its status unless for something else; None where none runs.

    Raises: TransientError where one runs and does not answer, or says that it cannot; ConfigError where it says that
    a file is wrong.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(json.dumps({"command": "status", **asked}).encode() + b"\n")
            with connection.makefile("rb") as replies:
                reply = json.loads(replies.readline(MAX_REPLY_BYTES))
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except PermissionError as error:
        raise TransientError(f"{path}: {error.strerror}; ask as root or as the agent's user") from error
    except (OSError, ValueError) as error:
        raise TransientError(f"{path}: the agent does not answer ({error})") from error
    if "found" in reply:
        at = Position(Path(reply["file"]), reply["line"], reply["column"])
        raise ConfigError(at, reply["found"], reply["expected"])
    if "error" in reply:
        raise TransientError(str(reply["error"]))
    return dict(reply)
