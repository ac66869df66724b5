"""Fixtures for all tests: real servers, and recorded data of real devices.

`mosquitto`, `influx1`, `influx2` run once for each worker process and are shared: a test uses names of its own
there. A test that stops or kills its server, or wants other settings, makes its own: `make_mosquitto()`.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import hypothesis
import pytest
from lacking import lacking

from servers import Influx1, Influx2, Mosquitto, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
os.environ["MESSNETZ_LANGUAGE"] = "en"  # whatever the language of whoever runs the tests

hypothesis.settings.register_profile("messnetz", deadline=None)  # no test is timed: machines differ
hypothesis.settings.load_profile("messnetz")

S = TypeVar("S", bound=Server)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that nobody waits for it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def _require(kind: type[Server]) -> None:
    message = kind.missing()
    if message is not None and kind is Influx2:  # in no package registry, so CI may lack it too
        pytest.skip(message)
    if message is not None:
        lacking(message)


@contextmanager
def _maker(kind: type[S], directory: Path) -> Iterator[Callable[..., S]]:
    """Give a function that starts servers of a kind; all are stopped at the end."""
    _require(kind)
    with ExitStack() as stack:
        made = 0

        def make(**settings: Any) -> S:  # noqa: ANN401 - whatever the server's class takes
            nonlocal made
            made += 1
            server = kind(directory / f"{kind.__name__.lower()}-{made}", **settings)
            stack.callback(server.stop)
            return server.start()

        yield make


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A running MQTT broker, shared: use a topic prefix of your own."""
    with _maker(Mosquitto, tmp_path_factory.mktemp("mosquitto")) as make:
        yield make()


@pytest.fixture(scope="session")
def influx1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx1]:
    """A running InfluxDB 1.x, shared: use a database of your own."""
    with _maker(Influx1, tmp_path_factory.mktemp("influx1")) as make:
        yield make()


@pytest.fixture(scope="session")
def influx2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx2]:
    """A running InfluxDB 2.x, shared: use a bucket of your own."""
    with _maker(Influx2, tmp_path_factory.mktemp("influx2")) as make:
        yield make()


@pytest.fixture
def make_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Start brokers of your own, to be stopped or killed: `make_mosquitto(settings=[...])`."""
    with _maker(Mosquitto, tmp_path) as make:
        yield make


@pytest.fixture
def make_influx1(tmp_path: Path) -> Iterator[Callable[..., Influx1]]:
    """Start an InfluxDB 1.x of your own, to be stopped or killed: `make_influx1(environment={...})`."""
    with _maker(Influx1, tmp_path) as make:
        yield make


@pytest.fixture
def make_influx2(tmp_path: Path) -> Iterator[Callable[..., Influx2]]:
    """Start an InfluxDB 2.x of your own, to be stopped or killed."""
    with _maker(Influx2, tmp_path) as make:
        yield make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded telegrams: `../shared/data`, or what MESSNETZ_TEST_DATA names."""
    folder = Path(os.environ.get("MESSNETZ_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        lacking(f"no recorded data at {folder}: set MESSNETZ_TEST_DATA to the folder that holds it")
    return folder
