from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from servers import HOST, Influx1, Mosquitto, Server, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(params=["make_mosquitto", "make_influx1"])
def make(request: pytest.FixtureRequest) -> Callable[..., Server]:
    """Makes servers of a kind."""
    made: Callable[..., Server] = request.getfixturevalue(request.param)
    return made


def answers(port: int) -> bool:
    """Whether anybody listens."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def test_a_server_comes_back_on_its_port(make: Callable[..., Server]) -> None:
    """After SIGTERM as after SIGKILL, with nobody on the port between."""
    server = make()
    first, port = server.pid, server.port

    for end in (server.stop, server.kill):
        end()
        assert not server.is_running
        assert not answers(port)
        server.start()
        assert answers(port)

    assert server.port == port
    assert server.pid != first


def test_two_servers_do_not_meet(make: Callable[..., Server]) -> None:
    """Each has a port of its own."""
    assert make().port != make().port


@pytest.mark.parametrize("kind", [Mosquitto, Influx1])
def test_a_server_that_fails_shows_its_log(
    kind: type[Mosquitto | Influx1], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The reason is in the error, not in a file that is gone after the test."""
    request.getfixturevalue(f"make_{kind.__name__.lower()}")  # skips where the program is missing
    server = kind(tmp_path)
    next(tmp_path.glob("*.conf")).write_text("rubbish = = =\n")

    with pytest.raises(ServerError, match=r"its log:\n.*(rubbish|toml)"):
        server.start()
    assert not server.is_running


def test_a_port_that_is_taken_is_an_error(make: Callable[..., Server]) -> None:
    """Whoever holds it would else be taken for the server."""
    server = make()
    server.kill()

    with socket.create_server((HOST, server.port)), pytest.raises(ServerError, match="somebody else"):
        server.start()
