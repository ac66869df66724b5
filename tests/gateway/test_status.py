"""The agent's word through its socket."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

import pytest

from base.errors import ConfigError, Position, TransientError
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


def test_a_socket_that_somebody_answers_on_is_not_taken(tmp_path: Path) -> None:
    """A second agent does not start, says why, and the first one is asked as before."""
    path = tmp_path / "agent.sock"

    async def play() -> dict[str, object] | None:
        async with status.serve(path, _answer):
            with pytest.raises(TransientError, match=r"agent\.sock: another agent answers on this socket; stop it, or"):
                async with status.serve(path, _answer):
                    pytest.fail("it is taken")
            return await asyncio.to_thread(status.ask, path)

    assert asyncio.run(play()) == {"gateway": "gw", "sealed_readings": 7}


def test_an_agent_that_ends_leaves_a_socket_that_is_not_its_own(tmp_path: Path) -> None:
    """Somebody has put another one in its place: that one stays."""
    path = tmp_path / "agent.sock"

    async def play() -> None:
        async with status.serve(path, _answer):
            path.unlink()
            other.bind(str(path))
            other.listen()

    with socket.socket(socket.AF_UNIX) as other:
        asyncio.run(play())
        assert path.exists()


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
    """The path is in the message, and what to do."""
    (tmp_path / "file").write_text("")

    async def play() -> None:
        async with status.serve(tmp_path / "file" / "agent.sock", _answer):
            pytest.fail("there is no such directory")

    with pytest.raises(TransientError, match=r"agent\.sock: .*; let the service.s user write there"):
        asyncio.run(play())


def test_the_machine_has_a_name() -> None:
    """Two machines under one gateway id show by it."""
    assert status.machine()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("proc/cpuinfo", "processor\t: 0\nSerial\t\t: 10000000abcdef01\n"),
        ("proc/device-tree/serial-number", "10000000abcdef01\0"),
    ],
)
def test_two_boards_with_one_card_have_two_names(tmp_path: Path, file: str, text: str) -> None:
    """A copied card has the same machine id; the board's serial number tells them apart, wherever the kernel has it."""
    card = {"etc/machine-id": "0123456789abcdef\n", "proc/cpuinfo": "processor\t: 0\n"}
    for name, content in {**card, file: text}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert status.machine(tmp_path) == "0123456789abcdef/10000000abcdef01"
    (tmp_path / file).unlink()
    assert status.machine(tmp_path) == "0123456789abcdef"


def _talk(tmp_path: Path, *lines: bytes) -> list[dict[str, object]]:
    """Say lines to an agent that refuses and fails in every way; returns its answers."""
    path = tmp_path / "agent.sock"

    async def answer(asked: status.Asked) -> dict[str, object]:
        if asked.command == "reload":
            raise ConfigError(Position(tmp_path / "gw.yaml", 3, 7), "'x'", "a number")
        if asked.command == "resend":
            raise RuntimeError("a fault of ours")
        return {"latest": asked.latest}

    async def play() -> list[dict[str, object]]:
        async with status.serve(path, answer):
            reader, writer = await asyncio.open_unix_connection(path)
            answers = []
            for line in lines:
                writer.write(line + b"\n")
                answers.append(json.loads(await reader.readline()))
            writer.close()
            return answers

    return asyncio.run(play())


def test_it_speaks_one_json_object_a_line(tmp_path: Path) -> None:
    """Both ways, as many as one likes on one connection."""
    assert _talk(tmp_path, b'{"command":"status"}', b'{"command":"status","latest":true}') == [
        {"latest": False},
        {"latest": True},
    ]


def test_what_is_no_command_is_said(tmp_path: Path) -> None:
    """And the connection stays."""
    lines = [b"status", b"{}", b'{"command":"stop"}', b'{"command":"status","x":1}', b"\xff", b'{"command":"status"}']
    *refused, taken = _talk(tmp_path, *lines)
    assert all(str(answer["error"]).startswith("no command: ") for answer in refused)
    assert taken == {"latest": False}


def test_a_time_that_runs_backwards_is_no_command(tmp_path: Path) -> None:
    """From before to."""
    (answer,) = _talk(tmp_path, b'{"command":"resend","from_ms":2,"to_ms":1}')
    assert "from_ms is after to_ms" in str(answer["error"])
    (answer,) = _talk(tmp_path, b'{"command":"resend","from_ms":1,"to_ms":9223372036854775808}')
    assert "no command" in str(answer["error"]), "a time that no spool can hold"


def test_a_fault_of_ours_is_an_answer_too(tmp_path: Path) -> None:
    """Nobody waits for one that never comes."""
    (answer,) = _talk(tmp_path, b'{"command":"resend","from_ms":1,"to_ms":2}')
    assert answer == {"error": "internal error: a fault of ours, please report"}


def test_a_wrong_file_arrives_as_what_it_is(tmp_path: Path) -> None:
    """File, line and column, so that the command leaves with 2."""
    path = tmp_path / "agent.sock"

    async def answer(_asked: status.Asked) -> dict[str, object]:
        raise ConfigError(Position(tmp_path / "gw.yaml", 3, 7), "'x'", "a number")

    async def play() -> None:
        async with status.serve(path, answer):
            with pytest.raises(ConfigError, match=r"gw\.yaml:3:7: found 'x'; expected a number"):
                await asyncio.to_thread(status.ask, path, command="reload")

    asyncio.run(play())


def test_an_agent_is_found_by_a_file_that_is_wrong_elsewhere(tmp_path: Path) -> None:
    """It may run well on the one before; only a file that cannot be read hides it."""
    file = tmp_path / "gw.yaml"
    file.write_text(f"gateway: gw\nsocket: {tmp_path}/agent.sock\nnonsense: 1\nbuses: []\n")
    assert status.place(file).socket == f"{tmp_path}/agent.sock"
    file.write_text("gateway: [")
    with pytest.raises(ConfigError):
        status.place(file)
