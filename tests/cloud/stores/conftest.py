"""Stores to test, each with a file or database of its own."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest

from cloud.stores.embedded import EmbeddedStore
from cloud.stores.influx1 import Influx1Store
from cloud.stores.influx2 import Influx2Store

from http_doubles import Influx2Double, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cloud.stores.interface import Store

    from servers import Influx1, Influx2

KINDS = [
    "embedded",
    pytest.param("influx1", marks=pytest.mark.slow),
    pytest.param("influx2_double", marks=pytest.mark.slow),
    # a real one only where there is one: `test_influx2.py` says in one line where there is none
    *([pytest.param("influx2", marks=pytest.mark.slow)] if os.environ.get("INFLUXD") else []),
]


@pytest.fixture(scope="session")
def influx2_double(influx1: Influx1) -> Iterator[Influx2Double]:
    """InfluxDB 2.x as played in front of a real 1.x; stands in where INFLUXD names no real one."""
    with Influx2Double(influx1.url) as double:
        yield double


@pytest.fixture(params=KINDS)
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """A function that opens the same, at first empty, file or database anew, as another process would."""
    name = f"t{uuid.uuid4().hex}"
    if request.param == "embedded":
        return lambda: EmbeddedStore(tmp_path / "town" / "store.sqlite")
    if request.param == "influx1":
        server: Influx1 = request.getfixturevalue("influx1")
        return lambda: Influx1Store(server.url, name)
    influx2: Influx2 | Influx2Double = request.getfixturevalue(request.param)
    return lambda: Influx2Store(influx2.url, influx2.org, name, influx2.token)


@pytest.fixture
def store(open_again: Callable[[], Store]) -> Iterator[Store]:
    """An empty store, ready for use."""
    store = open_again()
    store.prepare()
    yield store
    store.close()


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    """A server that answers what a test tells it to."""
    with ScriptedServer() as server:
        yield server
