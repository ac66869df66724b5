"""InfluxDB 2.x, and 3 Core within its limits: writes through `influxdb-client`, reads in InfluxQL over `/query`.

Of the client only the plain request is used: one write, one answer. Its batching mode gives up after 180 s and
loses what it holds at exit (influxdb-client-python issues 80, 198, 504).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import urllib3
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from base.errors import PermanentError, TransientError
from cloud.stores import line_protocol
from cloud.stores.http import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, Answer, Http, failure, failure_of_write, retry_after_s
from cloud.stores.influxql import InfluxqlReader
from cloud.stores.query import QueryClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloud.points import Point

NO_SUCH_ROUTE = frozenset({404, 405})


class Influx2Store(InfluxqlReader):
    """A bucket of an InfluxDB 2.x. A bucket `a/b` is read as database `a` with retention policy `b`."""

    def __init__(self, url: str, org: str, bucket: str, token: str, *, timeout_s: float = READ_TIMEOUT_S) -> None:
        self._name = f"InfluxDB {url}"
        self._org = org
        self._bucket = bucket
        timeouts_ms = (int(min(CONNECT_TIMEOUT_S, timeout_s) * 1000), int(timeout_s * 1000))
        # Any: the client calls itself typed and is not
        self._client: Any = InfluxDBClient(url, token, org=org, timeout=timeouts_ms, retries=False)
        self._writes: Any = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]
        database, _, policy = bucket.partition("/")
        http = Http(self._name, url, {"Authorization": f"Token {token}"}, timeout_s)
        super().__init__(QueryClient(http, database, policy))

    def prepare(self) -> None:
        """Reach the server; make the bucket where there is none and the token may."""
        try:
            with self._translated():
                self._make_bucket()
        except ApiException as error:
            raise failure(self._name, _answer(error)) from error
        except InfluxDBError as error:
            raise PermanentError(f"{self._name}: {error}") from error

    def write(self, points: Sequence[Point]) -> None:
        """Write points; the server has them in its log on disk when it answers."""
        for body in line_protocol.bodies(points):
            if not self._post(body):
                self.prepare()  # somebody deleted the bucket; what was in it the gateways may send again
                if not self._post(body):
                    raise TransientError(f"{self._name} has lost the bucket {self._bucket!r}")

    def close(self) -> None:
        """Let go of all connections."""
        super().close()
        self._client.close()

    def _make_bucket(self) -> None:
        buckets = self._client.buckets_api()
        has_buckets = True
        try:
            if buckets.find_bucket_by_name(self._bucket) is not None:
                return
        except ApiException as error:
            if not _is_no_route(error):
                raise
            has_buckets = False
        try:
            buckets.create_bucket(bucket_name=self._bucket, org=self._org)
        except InfluxDBError as error:
            if has_buckets or not _is_no_route(error):
                raise
            # 3 Core knows neither buckets nor organisations: it makes a database at the first write

    def _post(self, body: bytes) -> bool:
        """Write one request's body; False where the bucket does not exist."""
        packed = line_protocol.compress(body)
        try:
            with self._translated():
                _, status, _headers = self._writes.post_write_with_http_info(
                    self._org, self._bucket, packed, precision="ns", content_encoding="gzip"
                )
        except ApiException as error:
            if error.status == 404:
                return False
            raise failure_of_write(self._name, _answer(error)) from error
        if status != 204:
            raise failure_of_write(self._name, Answer(status, "that is not the answer to a whole write", None))
        return True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"{self._name} does not answer: {error}") from error
        except (ValueError, TypeError, AttributeError) as error:  # the client trips over an answer that is none
            raise TransientError(f"{self._name} answers what is no answer: {error!r}") from error


def _is_no_route(error: InfluxDBError) -> bool:
    """Whether the server does not know the path; the client says it without a status for organisations."""
    return not isinstance(error, ApiException) or error.status in NO_SUCH_ROUTE


def _answer(error: ApiException) -> Answer:
    headers: Any = error.headers or {}
    return Answer(error.status or 503, str(error.body or error.reason), retry_after_s(headers.get("Retry-After")))
