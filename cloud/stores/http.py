"""HTTP to a store: bounded times, answers read piece by piece, failures told apart by what the caller can do."""

from __future__ import annotations

import email.utils
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import msgspec
import urllib3

from base.errors import MessnetzError, PermanentError, TransientError
from cloud.stores.interface import RejectedPointsError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
"""Longest silence of a server that is to answer."""
MAX_ERROR_BYTES = 64 * 1024
MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_RETRY_AFTER_S = 3600.0
THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_PIECE_BYTES = 64 * 1024
_SHOWN_CHARS = 500

REJECTED = frozenset({201, 400, 413, 422})  # 201: the hosted editions of InfluxDB 3 after a partial write
TRY_LATER = frozenset({404, 408, 425, 429})


@dataclass(frozen=True)
class Answer:
    """What a server said to a request."""

    status: int
    text: str
    retry_after_s: float | None

    @property
    def reason(self) -> str:
        """Its own words, taken out of the JSON of InfluxDB 1.x (`error`) or 2.x (`message`)."""
        try:
            said = msgspec.json.decode(self.text.encode(), type=dict[str, object])
        except (msgspec.DecodeError, RecursionError):
            return self.text.strip()[:_SHOWN_CHARS]
        return str(said.get("error") or said.get("message") or self.text)[:_SHOWN_CHARS]


def failure_of_write(store: str, answer: Answer) -> MessnetzError:
    """Say by type what an answer to a write that was not 204 means."""
    if answer.status in REJECTED:
        return RejectedPointsError(f"{store} rejects points: {answer.reason}")
    return failure(store, answer)


def failure(store: str, answer: Answer) -> MessnetzError:
    """Say by type what an unwanted answer means."""
    message = f"{store} answers {answer.status}: {answer.reason or 'no reason given'}"
    if answer.status < 300 or answer.status >= 500 or answer.status in TRY_LATER:
        return TransientError(message, retry_after_s=answer.retry_after_s)
    return PermanentError(message)


def retry_after_s(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date (RFC 9110 section 10.2.3)."""
    if header is None:
        return None
    try:
        if header.strip().isdecimal():
            seconds = float(header)
        else:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


class Http:
    """Requests to one server. Threads may share it.

    `store` is what errors call it. Retries are the caller's: nothing is tried twice here.
    """

    def __init__(self, store: str, url: str, headers: Mapping[str, str], timeout_s: float = READ_TIMEOUT_S) -> None:
        self.store = store
        self._url = url.rstrip("/")
        self.is_on_this_machine = urlsplit(url).hostname in THIS_MACHINE
        """Then to compress what is sent would cost both sides more than it saves."""
        self._headers = dict(headers)
        self._pool = urllib3.PoolManager(
            maxsize=4, retries=False, timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, timeout_s), read=timeout_s)
        )

    def post(self, path: str, parameters: Mapping[str, str], body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body and read the answer.

        Raises: TransientError where none comes.
        """
        with self._translated(), self._send(path, parameters, body, headers) as response:
            return _answer(response)

    def lines(self, path: str, parameters: Mapping[str, str], form: Mapping[str, str]) -> Generator[bytes]:
        """Send a form; yields the lines of the answer as they come, so that its length does not matter.

        Raises: TransientError where the connection fails before its end; as `failure` where it is not 200.
        """
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        with self._translated(), self._send(path, parameters, urlencode(form).encode(), headers) as response:
            if response.status != 200:
                raise failure(self.store, _answer(response))
            buffer = bytearray()
            for piece in response.stream(_PIECE_BYTES):
                searched = len(buffer)
                buffer += piece
                while (end := buffer.find(b"\n", searched)) >= 0:
                    yield bytes(buffer[:end])
                    del buffer[: end + 1]
                    searched = 0
                if len(buffer) > MAX_LINE_BYTES:
                    raise PermanentError(f"{self.store} sends a line of over {MAX_LINE_BYTES} bytes")
            if buffer:
                yield bytes(buffer)

    def close(self) -> None:
        """Let go of all connections."""
        self._pool.clear()

    @contextmanager
    def _send(
        self, path: str, parameters: Mapping[str, str], body: bytes, headers: Mapping[str, str]
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        url = f"{self._url}{path}?{urlencode(parameters)}"
        response = self._pool.request(
            "POST", url, body=body, headers={**self._headers, **headers}, preload_content=False, redirect=False
        )
        with closing(response):  # one read to its end has given its connection back before
            yield response

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"{self.store} does not answer: {error}") from error


def _answer(response: urllib3.BaseHTTPResponse) -> Answer:
    text = response.read(MAX_ERROR_BYTES, decode_content=True).decode("utf-8", "replace")
    return Answer(response.status, text, retry_after_s(response.headers.get("Retry-After")))
