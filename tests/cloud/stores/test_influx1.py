"""InfluxDB 1.x: what its answers mean, told by a scripted server, and what a real one does."""

from __future__ import annotations

import gzip
import json
import urllib.parse
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
import urllib3

from base.errors import MessnetzError, PermanentError, TransientError
from cloud.points import Point, Series
from cloud.stores import http as store_http
from cloud.stores.influx1 import Influx1Store
from cloud.stores.interface import RejectedPointsError

from http_doubles import http_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from http_doubles import ScriptedServer
    from servers import Influx1

METER = Series.of("electricity", device="meter-1")
POINT = Point(METER, 1, {"v": 1.5})
ALL = (-(2**63), 2**63)


@pytest.fixture
def told(scripted: ScriptedServer) -> Iterator[Influx1Store]:
    """A store on the scripted server; it waits half a second for an answer."""
    store = Influx1Store(scripted.url, user="collector", password="the password", timeout_s=0.5)  # noqa: S106
    yield store
    store.close()


def error_of(call: Callable[[], object]) -> MessnetzError:
    """The error that a call ends with."""
    with pytest.raises(MessnetzError) as caught:
        call()
    return caught.value


def said(error: str) -> str:
    """An error as InfluxDB 1.x writes it."""
    return json.dumps({"error": error}) + "\n"


def test_a_write_is_line_protocol(scripted: ScriptedServer, told: Influx1Store) -> None:
    """One POST to /write: precision ns, the database, basic authentication; plain where no network lies between."""
    scripted.answers = [http_answer(204)]

    told.write([POINT])

    [(head, body)] = scripted.requests
    assert head.startswith("POST /write?db=messnetz&precision=ns HTTP/1.1\r\n")
    assert "content-encoding" not in head.lower()
    assert "authorization: basic y29sbgvjdg9yonrozsbwyxnzd29yza==" in head.lower()
    assert body == b"electricity,device=meter-1 v=1.5 1\n"


def test_a_write_over_a_network_is_compressed(
    scripted: ScriptedServer, told: Influx1Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With gzip, and said to be."""
    monkeypatch.setattr(told._http, "is_on_this_machine", False)
    scripted.answers = [http_answer(204)]

    told.write([POINT])

    [(head, body)] = scripted.requests
    assert "content-encoding: gzip" in head.lower()
    assert gzip.decompress(body) == b"electricity,device=meter-1 v=1.5 1\n"


WRITES = {
    "overloaded": (http_answer(429, said("slow down")), TransientError, "slow down"),
    "unavailable": (http_answer(503, "upstream is gone"), TransientError, "upstream is gone"),
    "time-out": (http_answer(500, said("timeout")), TransientError, "timeout"),
    "proxy without a backend": (http_answer(502, "<html>Bad Gateway</html>"), TransientError, "502"),
    "request took too long": (http_answer(408), TransientError, "408"),
    "unknown path": (http_answer(404, "404 page not found"), TransientError, "page not found"),
    "error behind a success": (http_answer(200, said("timeout")), TransientError, "timeout"),
    "another page": (http_answer(200, "<html>Welcome!</html>"), TransientError, "200"),
    "no credentials": (http_answer(401, said("authorization failed")), PermanentError, "authorization failed"),
    "no right": (http_answer(403, said("not authorized to write")), PermanentError, "not authorized"),
    "moved": (http_answer(301, "", Location="http://127.0.0.1:1/write"), PermanentError, "301"),
    "type conflict": (
        http_answer(400, said("partial write: field type conflict: input field v dropped=1")),
        RejectedPointsError,
        "field type conflict",
    ),
    "beyond retention": (
        http_answer(400, said("partial write: points beyond retention policy dropped=3")),
        RejectedPointsError,
        "beyond retention",
    ),
    "parse error": (
        http_answer(400, said("unable to parse 'x': missing fields")),
        RejectedPointsError,
        "unable to parse",
    ),
    "too long": (http_answer(413, said("Request Entity Too Large")), RejectedPointsError, "Too Large"),
    "over a limit of InfluxDB 3": (http_answer(422, said("too many columns")), RejectedPointsError, "columns"),
    "no HTTP": (b"what is this\r\n", TransientError, "does not answer"),
    "closed without an answer": (b"", TransientError, "does not answer"),
    "closed in the head": (b"HTTP/1.1 2", TransientError, "does not answer"),
    "closed in the body": (b"HTTP/1.1 500 E\r\nContent-Length: 100\r\n\r\n{", TransientError, "does not answer"),
    "silent": (None, TransientError, "does not answer"),
}


@pytest.mark.parametrize(("answer", "kind", "text"), WRITES.values(), ids=WRITES.keys())
def test_an_answer_to_a_write_is_an_error_of_its_kind(
    scripted: ScriptedServer, told: Influx1Store, answer: bytes | None, kind: type[MessnetzError], text: str
) -> None:
    """Typed by what the caller can do; in the server's words, and without the password."""
    scripted.answers = [answer]

    error = error_of(lambda: told.write([POINT]))

    assert type(error) is kind
    assert text in str(error)
    assert scripted.url in str(error)
    assert "the password" not in str(error)
    assert len(scripted.requests) == 1


def test_the_cause_of_a_broken_connection_is_kept(scripted: ScriptedServer, told: Influx1Store) -> None:
    """For whoever has to find out."""
    scripted.answers = [b""]

    assert isinstance(error_of(lambda: told.write([POINT])).__cause__, urllib3.exceptions.ProtocolError)


def test_a_server_that_is_not_there_is_transient() -> None:
    """Connection refused: try later."""
    with pytest.raises(TransientError, match="refused"):
        Influx1Store("http://127.0.0.1:1").prepare()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999", 3600.0),
        ("soon", None),
        (format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True), 0.0),
        (None, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_what_the_server_asks_for_is_handed_on(
    scripted: ScriptedServer, told: Influx1Store, status: int, header: str | None, seconds: float | None
) -> None:
    """Retry-After in seconds, or as a date; never more than an hour."""
    scripted.answers = [http_answer(status, "", **({} if header is None else {"Retry_After": header}))]

    error = error_of(lambda: told.write([POINT]))

    assert isinstance(error, TransientError)
    assert error.retry_after_s == seconds


def test_a_date_to_come_is_turned_into_seconds() -> None:
    """Retry-After as a date a minute from now."""
    seconds = store_http.retry_after_s(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))

    assert seconds is not None
    assert 50 < seconds <= 60


LOST = http_answer(404, said('database not found: "messnetz"'))
MADE = http_answer(200, '{"results":[{"statement_id":0}]}\n')


def test_a_lost_database_is_made_again(scripted: ScriptedServer, told: Influx1Store) -> None:
    """Made once, and the same points written again."""
    scripted.answers = [LOST, MADE, http_answer(204)]

    told.write([POINT])

    assert [head.split(" ")[1].split("?")[0] for head, _ in scripted.requests] == ["/write", "/query", "/write"]
    assert urllib.parse.parse_qs(scripted.requests[1][1].decode())["q"] == ['CREATE DATABASE "messnetz"']
    assert scripted.requests[0][1] == scripted.requests[2][1]


def test_a_database_that_stays_lost_is_transient(scripted: ScriptedServer, told: Influx1Store) -> None:
    """Made once and not again and again."""
    scripted.answers = [LOST, MADE, LOST]

    assert type(error_of(lambda: told.write([POINT]))) is TransientError
    assert len(scripted.requests) == 3


def test_a_database_that_we_may_not_make_is_permanent(scripted: ScriptedServer, told: Influx1Store) -> None:
    """A person must make it, or give us the right."""
    scripted.answers = [LOST, http_answer(403, said("error authorizing query: requires admin privilege"))]

    assert type(error_of(lambda: told.write([POINT]))) is PermanentError


CHUNK = '{"results":[{"statement_id":0,"series":[{"name":"m","columns":["name"],"values":[["a"]]%s}]%s}]}\n'
MORE = ',"partial":true'

QUERIES = {
    "overloaded": (http_answer(429, said("max-concurrent-queries")), TransientError, "max-concurrent"),
    "unavailable": (http_answer(503), TransientError, "503"),
    "no credentials": (http_answer(401, said("authorization failed")), PermanentError, "authorization failed"),
    "parse error": (http_answer(400, said("error parsing query: found x")), PermanentError, "error parsing query"),
    "error of the request in a 200": (http_answer(200, said("not authorized")), PermanentError, "not authorized"),
    "error of the statement in a 200": (
        http_answer(200, '{"results":[{"statement_id":0,"error":"database not found: messnetz"}]}'),
        TransientError,
        "database not found",
    ),
    "error after rows": (
        http_answer(200, CHUNK % (MORE, MORE) + '{"results":[{"statement_id":0,"error":"query interrupted"}]}'),
        TransientError,
        "interrupted",
    ),
    "cut short by max-row-limit": (http_answer(200, CHUNK % (MORE, "")), PermanentError, "max-row-limit"),
    "ended after a chunk": (http_answer(200, CHUNK % (MORE, MORE)), TransientError, "broke off"),
    "no result at all": (http_answer(200, "{}"), TransientError, "broke off"),
    "empty": (http_answer(200, ""), TransientError, "broke off"),
    "another page": (http_answer(200, "<html>Welcome!</html>"), TransientError, "no answer"),
    "bytes": (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xfe\x00\n", TransientError, "no answer"),
    "closed half way": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + (CHUNK % ("", "")).encode(),
        TransientError,
        "does not answer",
    ),
    "closed half way in chunked coding": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n60\r\n" + (CHUNK % ("", "")).encode()[:0x40],
        TransientError,
        "does not answer",
    ),
    "silent": (None, TransientError, "does not answer"),
}


@pytest.mark.parametrize(("answer", "kind", "text"), QUERIES.values(), ids=QUERIES.keys())
def test_a_query_is_answered_whole_or_fails(
    scripted: ScriptedServer, told: Influx1Store, answer: bytes | None, kind: type[MessnetzError], text: str
) -> None:
    """Never a part of the rows as if it were all."""
    scripted.answers = [answer]

    error = error_of(told.measurements)

    assert type(error) is kind
    assert text in str(error)


def test_a_line_without_end_is_given_up(
    scripted: ScriptedServer, told: Influx1Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever calls itself InfluxDB cannot fill our memory."""
    monkeypatch.setattr(store_http, "MAX_LINE_BYTES", 1000)
    scripted.answers = [http_answer(200, '{"results":' + " " * 2000)]

    assert type(error_of(told.measurements)) is PermanentError


def test_fields_of_unknown_type_are_not_passed_over(scripted: ScriptedServer, told: Influx1Store) -> None:
    """A later InfluxDB may have more types than we can read."""
    keys = {"statement_id": 0, "series": [{"columns": ["fieldKey", "fieldType"], "values": [["v", "decimal"]]}]}
    scripted.answers = [http_answer(200, json.dumps({"results": [keys, {"statement_id": 1}]}))]

    assert "decimal" in str(error_of(lambda: list(told.series("m", *ALL))))


@pytest.fixture
def real(influx1: Influx1, request: pytest.FixtureRequest) -> Iterator[Influx1Store]:
    """A store on a real server, with a database of the test's name."""
    store = Influx1Store(influx1.url, f"d_{request.node.name}")
    store.prepare()
    yield store
    store.close()


@pytest.mark.slow
def test_a_type_conflict_rejects_one_point_and_stores_the_others(real: Influx1Store) -> None:
    """A real partial write: an error, though the good points are stored; asked in parts, the bad one shows."""
    real.write([POINT])
    good, bad = Point(METER, 2, {"v": 2.5}), Point(METER, 3, {"v": "a text"})

    with pytest.raises(RejectedPointsError, match="partial write"):
        real.write([good, bad])

    assert list(real.series("electricity", *ALL)) == [POINT, good]
    real.write([good])
    with pytest.raises(RejectedPointsError):
        real.write([bad])


@pytest.mark.slow
def test_a_dropped_database_is_made_again(real: Influx1Store) -> None:
    """By the next write; reads meanwhile fail, and do not call it empty."""
    real.write([POINT])
    list(real._queries.rows(f'DROP DATABASE "{real._database}"'))

    with pytest.raises(TransientError, match="database not found"):
        list(real.series("electricity", *ALL))
    real.write([POINT])

    assert list(real.series("electricity", *ALL)) == [POINT]


@pytest.mark.slow
def test_a_field_of_two_types_is_read_whole(real: Influx1Store) -> None:
    """Another program wrote texts, years ago, where we write numbers: SELECT * would give numbers or texts only."""
    week_ns = 7 * 86_400 * 10**9
    text, number = Point(METER, 0, {"v": "a text"}), Point(METER, 4 * week_ns, {"v": 1.5})

    real.write([text])
    real.write([number])

    assert list(real.series("electricity", *ALL)) == [text, number]
    assert real.latest("electricity") == [number]


@pytest.mark.slow
def test_whole_numbers_of_another_program_are_read_as_floats(real: Influx1Store) -> None:
    """Telegraf and others write integers."""
    real._http.post("/write", {"db": real._database}, b"m v=7i 1", {})

    [point] = real.series("m", *ALL)

    assert (point.fields["v"], type(point.fields["v"])) == (7.0, float)


@pytest.mark.slow
def test_what_was_acknowledged_outlives_kill_9(make_influx1: Callable[..., Influx1]) -> None:
    """While the server is gone, errors are transient; after its restart every acknowledged point is there."""
    server = make_influx1()
    store = Influx1Store(server.url)
    store.prepare()
    points = [Point(METER, number, {"v": float(number)}) for number in range(500)]
    for start in range(0, 500, 100):
        store.write(points[start : start + 100])

    server.kill()
    with pytest.raises(TransientError):
        store.write([POINT])
    with pytest.raises(TransientError):
        store.measurements()
    server.start()

    assert list(store.series("electricity", *ALL)) == points
    store.close()


@pytest.mark.slow
def test_a_row_limit_of_the_server_hides_nothing(make_influx1: Callable[..., Influx1]) -> None:
    """`max-row-limit` truncates answers unsaid, unless they are asked for in chunks."""
    store = Influx1Store(make_influx1(environment={"INFLUXDB_HTTP_MAX_ROW_LIMIT": "5"}).url)
    store.prepare()
    points = [Point(Series.of("m", device=f"d{number % 7}"), number, {"v": 1.0}) for number in range(70)]
    store.write(points)

    assert list(store.series("m", *ALL)) == points
    assert len(store.latest("m")) == 7
    assert len(store.tag_values("m", "device")) == 7
    store.close()


@pytest.mark.slow
def test_a_body_that_is_too_long_is_rejected(make_influx1: Callable[..., Influx1]) -> None:
    """The caller asks again in parts, and the parts fit."""
    store = Influx1Store(make_influx1(environment={"INFLUXDB_HTTP_MAX_BODY_SIZE": "2000"}).url)
    store.prepare()
    points = [Point(METER, number, {"v": number / 7}) for number in range(400)]

    with pytest.raises(RejectedPointsError):
        store.write(points)
    for start in range(0, 400, 20):
        store.write(points[start : start + 20])

    assert list(store.series("electricity", *ALL)) == points
    store.close()


@pytest.mark.slow
def test_users_and_passwords(make_influx1: Callable[..., Influx1]) -> None:
    """A user who may is let in; a wrong password or none is a permanent error, and never seen in it."""
    url = make_influx1(environment={"INFLUXDB_HTTP_AUTH_ENABLED": "true"}).url
    urllib3.request("POST", f"{url}/query", fields={"q": "CREATE USER boss WITH PASSWORD 'secret' WITH ALL PRIVILEGES"})
    boss = Influx1Store(url, user="boss", password="secret")  # noqa: S106
    boss.prepare()
    boss.write([POINT])

    for stranger in (Influx1Store(url), Influx1Store(url, user="boss", password="wrong-one")):  # noqa: S106
        for call in (stranger.prepare, stranger.measurements, lambda store=stranger: store.write([POINT])):
            error = error_of(call)
            assert type(error) is PermanentError
            assert "wrong-one" not in str(error)
        stranger.close()
    assert boss.measurements() == ["electricity"]
    boss.close()
