"""The queries that the pages show, against a real InfluxDB."""

from __future__ import annotations

import http.client
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from conftest import ROOT

from wire.vocabulary import measurements

from servers import HOST

if TYPE_CHECKING:
    from servers import Influx1

pytestmark = pytest.mark.slow

QUERIES = [
    query
    for page in sorted((ROOT / "docs").glob("*.md"))
    for query in re.findall(r"(?:^ {4}|`)(SELECT [^`\n]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
]


def test_there_are_queries() -> None:
    """Or nothing would be checked."""
    assert len(QUERIES) > 5


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_a_page_is_understood(query: str, influx1: Influx1) -> None:
    """By the database."""
    for asked in ("CREATE DATABASE pages", query):
        connection = http.client.HTTPConnection(HOST, influx1.port, timeout=30)
        connection.request("POST", f"/query?{urlencode({'db': 'pages', 'q': asked})}")
        answer = json.load(connection.getresponse())
        connection.close()
        assert "error" not in {**answer, **answer["results"][0]}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_a_page_asks_for_what_there_is(query: str) -> None:
    """A measurement, its fields and tags, as docs/measurements.md lists them."""
    table = measurements()
    source = re.search(r'FROM "?(\w+?)(?:_suspect)?"?[ $]', query)
    assert source
    derived = table.derived.get(source[1])
    if derived is not None:
        known = {*derived.tags, *derived.fields}
    else:
        readings = table.readings
        known = {*readings.tags, *readings.common, *readings.measurements[source[1]], "q"}
    assert {name.removesuffix("_suspect") for name in re.findall(r'"(\w+)"', query)} <= known | {source[1]}
