"""A line that cannot be opened: each cause by its name, each with what to do."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
from typing import TYPE_CHECKING

import pytest

from edge import port_diagnosis
from edge.interface import NoAnswerError
from edge.modbus import diagnosis
from edge.modbus.config import Endpoint, SerialLine, SerialSettings
from edge.modbus.registers import Request
from edge.modbus.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_S = 10.0


def why(line: Endpoint | SerialLine | str) -> str:
    """What the transport says of a line that it cannot open."""
    line = SerialLine(line, SerialSettings()) if isinstance(line, str) else line
    with pytest.raises(NoAnswerError) as caught:
        asyncio.run(Transport(line, TIMEOUT_S).read(1, Request(3, 0, 1)))
    text = str(caught.value)
    assert text.startswith(f"{line}: ")
    return text.removeprefix(f"{line}: ")


def test_a_refused_port_is_said() -> None:
    """Somebody is there, but not there."""
    with socket.socket() as held:  # bound, not listening: nobody else can have it meanwhile
        held.bind(("127.0.0.1", 0))
        said = why(Endpoint("127.0.0.1", held.getsockname()[1]))
    assert "is there, but refuses port" in said
    assert "check the port" in said


def test_an_unknown_host_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip of the pen, or a name server that does not know it."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert why(Endpoint("meter.invalid", 502)).startswith("no host 'meter.invalid' is known; check how it is written")


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_name_that_is_none_is_said(host: str) -> None:
    """As any other host that nobody knows."""
    assert why(Endpoint(host, 502)).startswith(f"no host {host!r} is known")


@pytest.fixture
def silent() -> Iterator[Endpoint]:
    """A server whose queue of connections is full: the next one is not answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)  # noqa: FBT003 - socket's own signature
            each.connect_ex(address)
        yield Endpoint(*address)
        for each in waiting:
            each.close()


def test_a_silent_host_is_waited_for_once(silent: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bus mates paid for one time-out already."""
    monkeypatch.setattr(asyncio, "open_connection", lambda *_: pytest.fail("asked a second time"))
    with pytest.raises(NoAnswerError, match=r"no connection in 0.3 s; check the address, the device's power"):
        asyncio.run(Transport(silent, 0.3).read(1, Request(3, 0, 1)))


def test_a_silent_host_is_said(silent: Endpoint) -> None:
    """Also where the first try failed sooner."""
    said = asyncio.run(diagnosis.why_closed(silent, 0.3, 0.0))
    assert said.startswith("no connection in 0.3 s; check the address")


def test_a_network_without_a_way_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kernel's own word for it."""

    async def unreachable(*_: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(asyncio, "open_connection", unreachable)
    said = asyncio.run(diagnosis.why_closed(Endpoint("192.0.2.1", 502), 1.0, 0.0))
    assert said.startswith("cannot be reached (Network is unreachable); check the address")


def test_a_host_that_is_back_is_said() -> None:
    """Between the two tries it came up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = asyncio.run(diagnosis.why_closed(Endpoint(*server.getsockname()), 5.0, 0.0))
    assert said == "cannot be opened, though it can be reached just now; try again"


def test_a_port_that_does_not_exist_is_said(tmp_path: Path) -> None:
    """The adapter is not plugged in, or has another name."""
    assert why(str(tmp_path / "ttyUSB0")).startswith("no such port; check that the adapter is plugged in")
    assert why(str(tmp_path / "no" / "ttyUSB0")).startswith("no such port")


def test_a_port_without_permission_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the group to join."""
    port = tmp_path / "ttyUSB0"
    port.touch()
    real = os.open

    def denied(path: str, *rest: int) -> int:
        if path == str(port):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *rest)

    monkeypatch.setattr(os, "open", denied)
    assert why(str(port)).startswith("no permission; join its group (`sudo usermod -aG dialout $USER`)")


def test_what_is_no_port_is_said(tmp_path: Path) -> None:
    """A file, a directory, a device that is no terminal."""
    file = tmp_path / "notes.txt"
    file.touch()
    assert why(str(file)).startswith("is no serial port; give the port's own name")
    assert why("/dev/null").startswith("is no serial port")
    assert why(str(tmp_path)).startswith("is a directory and no serial port")


def test_a_port_that_somebody_has_is_said() -> None:
    """Most often the agent."""
    ours, theirs = os.openpty()
    fcntl.flock(theirs, fcntl.LOCK_EX)
    assert why(os.ttyname(theirs)).startswith("is in use by another program; end that first")
    os.close(ours)
    os.close(theirs)


def test_a_port_that_is_free_again_is_said() -> None:
    """Nothing better is known."""
    ours, theirs = os.openpty()
    line = SerialLine(os.ttyname(theirs), SerialSettings())
    assert "though it is there and free" in asyncio.run(diagnosis.why_closed(line, 1.0, 0.0))
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENXIO, "has no device behind it"),
        (errno.EBUSY, "is in use by another program"),
        (errno.ELOOP, "cannot be opened (Too many levels of symbolic links)"),
    ],
)
def test_other_causes_have_words_too(code: int, says: str, tmp_path: Path) -> None:
    """As the kernel tells them."""
    assert port_diagnosis._why_not_opened(str(tmp_path), OSError(code, os.strerror(code))).startswith(says)
