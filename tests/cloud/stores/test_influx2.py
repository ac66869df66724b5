"""InfluxDB 2.x: what its answers mean. What it does with points, the contract tests: see `conftest.py`."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from base.errors import MessnetzError, PermanentError, TransientError
from cloud.points import Point, Series
from cloud.stores.influx2 import Influx2Store
from cloud.stores.interface import RejectedPointsError

from http_doubles import Influx2Double, http_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from http_doubles import ScriptedServer
    from servers import Influx2

POINT = Point(Series.of("electricity", device="meter-1"), 1, {"v": 1.5})
TOKEN = "the-token"  # noqa: S105 - opens nothing


@pytest.fixture
def told(scripted: ScriptedServer) -> Iterator[Influx2Store]:
    """A store on the scripted server; it waits half a second for an answer."""
    store = Influx2Store(scripted.url, "town", "messnetz", TOKEN, timeout_s=0.5)
    yield store
    store.close()


def error_of(call: Callable[[], object]) -> MessnetzError:
    """The error that a call ends with."""
    with pytest.raises(MessnetzError) as caught:
        call()
    return caught.value


def said(code: str, message: str) -> str:
    """An error as InfluxDB 2.x writes it."""
    return json.dumps({"code": code, "message": message})


def buckets(*names: str) -> bytes:
    """The answer to a question for buckets."""
    listed = [{"id": "1" * 16, "orgID": "0" * 16, "name": name, "retentionRules": []} for name in names]
    return http_answer(200, json.dumps({"buckets": listed}), Content_Type="application/json")


NO_ROUTE = http_answer(404, "not found")
ORGS = http_answer(200, json.dumps({"orgs": [{"id": "0" * 16, "name": "town"}]}))
MADE = http_answer(201, json.dumps({"id": "1" * 16, "name": "messnetz", "retentionRules": []}))
LOST = http_answer(404, said("not found", 'bucket "messnetz" not found'))


@pytest.mark.slow
def test_a_real_influxdb_2_is_tested(influx2: Influx2) -> None:
    """With INFLUXD the whole contract runs on a real one; without, this line says what is missing."""
    store = Influx2Store(influx2.url, influx2.org, influx2.bucket, influx2.token)
    store.prepare()
    with pytest.raises(PermanentError):
        Influx2Store(influx2.url, influx2.org, influx2.bucket, "another-token").prepare()
    store.close()


def test_a_write_is_compressed_line_protocol(scripted: ScriptedServer, told: Influx2Store) -> None:
    """One POST to /api/v2/write: gzip, precision ns, org, bucket, token."""
    scripted.answers = [http_answer(204)]

    told.write([POINT])

    [(head, body)] = scripted.requests
    assert head.startswith("POST /api/v2/write?org=town&bucket=messnetz&precision=ns HTTP/1.1\r\n")
    assert "Content-Encoding: gzip" in head
    assert f"Authorization: Token {TOKEN}" in head
    assert gzip.decompress(body) == b"electricity,device=meter-1 v=1.5 1\n"


def test_a_query_carries_bucket_and_token(scripted: ScriptedServer) -> None:
    """POST to /query; a bucket `a/b` is database `a` with retention policy `b`."""
    store = Influx2Store(scripted.url, "town", "messnetz/year", TOKEN)
    scripted.answers = [http_answer(200, '{"results":[{"statement_id":0}]}')]

    assert store.measurements() == []

    [(head, _)] = scripted.requests
    assert head.startswith("POST /query?db=messnetz&epoch=ns&rp=year HTTP/1.1\r\n")
    assert f"Authorization: Token {TOKEN}" in head
    store.close()


WRITES = {
    "over quota": (
        http_answer(429, said("too many requests", "slow down"), Retry_After="7"),
        TransientError,
        "slow down",
    ),
    "unavailable": (http_answer(503, said("unavailable", "starting")), TransientError, "starting"),
    "internal": (http_answer(500, said("internal error", "no space")), TransientError, "no space"),
    "no credentials": (http_answer(401, said("unauthorized", "unauthorized access")), PermanentError, "unauthorized"),
    "no right": (http_answer(403, said("forbidden", "insufficient permissions")), PermanentError, "insufficient"),
    "moved": (http_answer(301, "", Location="http://127.0.0.1:1/"), PermanentError, "301"),
    "parse error": (http_answer(400, said("invalid", "unable to parse")), RejectedPointsError, "unable to parse"),
    "type conflict": (http_answer(422, said("unprocessable entity", "conflict")), RejectedPointsError, "conflict"),
    "too long": (http_answer(413, said("request too large", "too large")), RejectedPointsError, "too large"),
    "partial write of a hosted edition": (http_answer(201, "{}"), RejectedPointsError, "whole write"),
    "another page": (http_answer(200, "<html>Welcome!</html>"), TransientError, "200"),
    "bytes": (b"HTTP/1.1 500 E\r\nContent-Length: 2\r\n\r\n\xff\xfe", TransientError, "no answer"),
    "no HTTP": (b"what is this\r\n", TransientError, "does not answer"),
    "closed without an answer": (b"", TransientError, "does not answer"),
    "closed in the body": (b"HTTP/1.1 500 E\r\nContent-Length: 100\r\n\r\n{", TransientError, "does not answer"),
    "silent": (None, TransientError, "does not answer"),
}


@pytest.mark.parametrize(("answer", "kind", "text"), WRITES.values(), ids=WRITES.keys())
def test_an_answer_to_a_write_is_an_error_of_its_kind(
    scripted: ScriptedServer, told: Influx2Store, answer: bytes | None, kind: type[MessnetzError], text: str
) -> None:
    """Typed by what the caller can do; in the server's words, without the token, and tried once only."""
    scripted.answers = [answer]

    error = error_of(lambda: told.write([POINT]))

    assert type(error) is kind
    assert text in str(error)
    assert TOKEN not in str(error)
    assert len(scripted.requests) == 1


def test_what_the_server_asks_for_is_handed_on(scripted: ScriptedServer, told: Influx2Store) -> None:
    """Retry-After, in seconds."""
    scripted.answers = [http_answer(429, "", Retry_After="7")]

    error = error_of(lambda: told.write([POINT]))

    assert isinstance(error, TransientError)
    assert error.retry_after_s == 7.0


def test_a_lost_bucket_is_made_again(scripted: ScriptedServer, told: Influx2Store) -> None:
    """Made once, and the same points written again."""
    scripted.answers = [LOST, buckets(), ORGS, MADE, http_answer(204)]

    told.write([POINT])

    assert [head.split("?")[0].split(" HTTP")[0] for head, _ in scripted.requests] == [
        "POST /api/v2/write",
        "GET /api/v2/buckets",
        "GET /api/v2/orgs",
        "POST /api/v2/buckets",
        "POST /api/v2/write",
    ]
    assert scripted.requests[0][1] == scripted.requests[-1][1]


def test_a_bucket_that_stays_lost_is_transient(scripted: ScriptedServer, told: Influx2Store) -> None:
    """Made once and not again and again."""
    scripted.answers = [LOST, buckets("messnetz"), LOST]

    assert type(error_of(lambda: told.write([POINT]))) is TransientError
    assert len(scripted.requests) == 3


PREPARED = {
    "there": [buckets("messnetz")],
    "made": [buckets(), ORGS, MADE],
    "made by a 2.0, which says 404 for a bucket it does not know": [LOST, ORGS, MADE],
    "InfluxDB 3 Core, which knows no buckets": [NO_ROUTE, NO_ROUTE],
}


@pytest.mark.parametrize("answers", PREPARED.values(), ids=PREPARED.keys())
def test_a_bucket_is_found_or_made(scripted: ScriptedServer, told: Influx2Store, answers: list[bytes | None]) -> None:
    """By the API for buckets, where there is one."""
    scripted.answers = list(answers)

    told.prepare()

    assert scripted.answers == []


NOT_PREPARED = {
    "wrong token": ([http_answer(401, said("unauthorized", "unauthorized access"))], PermanentError),
    "no such organisation": ([buckets(), NO_ROUTE], PermanentError),
    "no right to make it": ([buckets(), ORGS, http_answer(403, said("forbidden", "no"))], PermanentError),
    "starting": ([http_answer(503, said("unavailable", "starting"))], TransientError),
    "another page": ([http_answer(200, "<html>Welcome!</html>")], TransientError),
    "other JSON": ([http_answer(200, "[]")], TransientError),
    "silent": ([None], TransientError),
}


@pytest.mark.parametrize(("answers", "kind"), NOT_PREPARED.values(), ids=NOT_PREPARED.keys())
def test_a_server_that_is_not_ready_is_an_error(
    scripted: ScriptedServer, told: Influx2Store, answers: list[bytes | None], kind: type[MessnetzError]
) -> None:
    """Permanent where a person must act."""
    scripted.answers = list(answers)

    assert type(error_of(told.prepare)) is kind


@pytest.mark.slow
def test_a_wrong_token_is_permanent(influx2_double: Influx2Double) -> None:
    """For writes and for reads, which go different ways."""
    store = Influx2Store(influx2_double.url, influx2_double.org, "messnetz", "another-token")

    for call in (store.prepare, store.measurements, lambda: store.write([POINT])):
        assert type(error_of(call)) is PermanentError
    store.close()
