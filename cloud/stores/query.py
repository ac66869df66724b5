"""`/query` of InfluxDB 1.x, 2.x and 3 Core: statements in, blocks of rows out.

Answers are read in chunks, so that memory stays bounded, and nothing is lost in silence: an answer that the
server cut short (`max-row-limit`), that broke off, or that holds an error behind a status of 200 is an error here.
Source: https://docs.influxdata.com/influxdb/v1/tools/api/#query-http-endpoint
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec

from base.errors import MessnetzError, PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud.stores.http import Http

CHUNK_ROWS = 5_000
_PERMANENT = ("error parsing query", "authoriz", "max-select-", "invalid name")


class Block(msgspec.Struct):
    """Rows that share columns, and with GROUP BY * the tags."""

    columns: list[str] = []
    tags: dict[str, str] = {}
    values: list[list[Any]] = []
    partial: bool = False


class _Result(msgspec.Struct):
    """One statement's answer, or a chunk of it: then `partial` is set, and another follows."""

    statement_id: int = 0
    series: list[Block] = []
    error: str | None = None
    partial: bool = False


class _Answer(msgspec.Struct):
    results: list[_Result] = []
    error: str | None = None


_answers = msgspec.json.Decoder(_Answer)


class QueryClient:
    """Asks one database. `policy` is its retention policy; the default one unless given."""

    def __init__(self, http: Http, database: str, policy: str = "") -> None:
        self._http = http
        self._parameters = {"db": database, "epoch": "ns"} | ({"rp": policy} if policy else {})

    @property
    def store(self) -> str:
        """What errors call the store."""
        return self._http.store

    def run(self, *statements: str) -> Iterator[tuple[int, Block]]:
        """Run statements; yields blocks of rows, each with the number of its statement. Times are ns.

        Raises: TransientError or PermanentError, at the latest at the end, where the answer is not whole.
        """
        form = {"q": "; ".join(statements), "chunked": "true", "chunk_size": str(CHUNK_ROWS)}
        last: _Result | None = None
        with closing(self._http.lines("/query", self._parameters, form)) as lines:
            for line in lines:
                for result in self._results(line):
                    for block in result.series:
                        if block.partial and not result.partial:
                            raise PermanentError(f"{self.store} cut an answer short: its max-row-limit is too low")
                        yield result.statement_id, block
                    last = result
        if last is None or last.partial or last.statement_id != len(statements) - 1:
            raise TransientError(f"{self.store} broke off in the midst of an answer")

    def rows(self, statement: str) -> Iterator[list[Any]]:
        """Run one statement; yields its rows."""
        for _, block in self.run(statement):
            yield from block.values

    def close(self) -> None:
        """Let go of all connections."""
        self._http.close()

    def _results(self, line: bytes) -> Iterator[_Result]:
        if not line.strip():
            return
        try:
            answer = _answers.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TransientError(f"{self.store} answers what is no answer to a query: {error}") from error
        if answer.error is not None:
            raise self._error(answer.error)
        for result in answer.results:
            if result.error is not None:
                raise self._error(result.error)
            yield result

    def _error(self, text: str) -> MessnetzError:
        message = f"{self.store} cannot answer a query: {text}"
        return PermanentError(message) if any(word in text for word in _PERMANENT) else TransientError(message)
