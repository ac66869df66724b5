"""InfluxDB 1.x (Debian's own package): `/write` in line protocol, `/query` in InfluxQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import urllib3

from base.errors import TransientError
from cloud.stores import line_protocol
from cloud.stores.http import READ_TIMEOUT_S, Http, failure_of_write
from cloud.stores.influxql import InfluxqlReader, identifier
from cloud.stores.query import QueryClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud.points import Point


class Influx1Store(InfluxqlReader):
    """A database of an InfluxDB 1.x."""

    def __init__(
        self,
        url: str,
        database: str = "messnetz",
        *,
        user: str | None = None,
        password: str | None = None,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        headers = urllib3.make_headers(basic_auth=f"{user}:{password or ''}") if user else {}
        self._http = Http(f"InfluxDB {url}", url, headers, timeout_s)
        self._database = database
        self._parameters = {"db": database, "precision": "ns"}
        super().__init__(QueryClient(self._http, database))

    def prepare(self) -> None:
        """Reach the server; make the database where there is none."""
        try:
            list(self._queries.rows(f"SHOW RETENTION POLICIES ON {identifier(self._database)}"))
        except TransientError as error:
            if "database not found" not in str(error):
                raise
            self._make_database()

    def write(self, points: Sequence[Point]) -> None:
        """Write points. InfluxDB answers when they are in its log on disk (`wal-fsync-delay = "0s"`)."""
        for body in line_protocol.bodies(points):
            if not self._post(body):
                self._make_database()  # somebody dropped it; what was in it the gateways may send again
                if not self._post(body):
                    raise TransientError(f"{self._http.store} has lost the database {self._database!r}")

    def _post(self, body: bytes) -> bool:
        """Write one request's body; False where the database does not exist."""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if not self._http.is_on_this_machine:
            body, headers = line_protocol.compress(body), {**headers, "Content-Encoding": "gzip"}
        answer = self._http.post("/write", self._parameters, body, headers)
        if answer.status == 404 and "database not found" in answer.reason:
            return False
        if answer.status != 204:
            raise failure_of_write(self._http.store, answer)
        return True

    def _make_database(self) -> None:
        list(self._queries.rows(f"CREATE DATABASE {identifier(self._database)}"))
