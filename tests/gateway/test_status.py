"""The agent's word through its socket."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from base.errors import TransientError
from gateway import status

if TYPE_CHECKING:
    from pathlib import Path


async def _answer(_asked: status.Asked) -> dict[str, object]:
    return {"gateway": "gw", "sealed_readings": 7}


def test_a_running_agent_answers(tmp_path: Path) -> None:
    """One line asks, one JSON object answers, as often as one likes; the socket is gone afterwards."""
    path = tmp_path / "run" / "agent.sock"

    async def play() -> list[dict[str, object] | None]:
        async with status.serve(path, _answer):
            return [await asyncio.to_thread(status.ask, path) for _ in range(2)]

    assert asyncio.run(play()) == [{"gateway": "gw", "sealed_readings": 7}] * 2
    assert not path.exists()


def test_a_socket_left_behind_is_no_agent(tmp_path: Path) -> None:
    """After kill -9 the file is still there; asking says that none runs, starting replaces it."""
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert status.ask(path) is None

    async def play() -> dict[str, object] | None:
        async with status.serve(path, _answer):
            return await asyncio.to_thread(status.ask, path)

    assert asyncio.run(play()) == {"gateway": "gw", "sealed_readings": 7}


def test_no_socket_is_no_agent(tmp_path: Path) -> None:
    """None runs: the caller reads the spool instead."""
    assert status.ask(tmp_path / "agent.sock") is None


@pytest.mark.parametrize("reply", [b"", b"rubbish\n"])
def test_an_agent_that_answers_rubbish_is_said(reply: bytes, tmp_path: Path) -> None:
    """A sentence, not a trace."""
    path = tmp_path / "agent.sock"

    async def play() -> None:
        async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(reply)
            writer.close()

        server = await asyncio.start_unix_server(talk, path)
        with pytest.raises(TransientError, match="does not answer"):
            await asyncio.to_thread(status.ask, path)
        server.close()

    asyncio.run(play())


def test_a_place_where_no_socket_can_be_is_said(tmp_path: Path) -> None:
    """The path is in the message."""
    (tmp_path / "file").write_text("")

    async def play() -> None:
        async with status.serve(tmp_path / "file" / "agent.sock", _answer):
            pytest.fail("there is no such directory")

    with pytest.raises(TransientError, match=r"agent\.sock"):
        asyncio.run(play())


def test_the_machine_has_a_name() -> None:
    """Two machines under one gateway id show by it."""
    assert status.machine()
