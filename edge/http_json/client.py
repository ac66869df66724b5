"""One GET request, by the standard library, on a thread: bounded in time and size, and never led to another host."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

from base.errors import ConfigError, PermanentError, Position, TransientError
from base.secrets import read_secret
from base.version import VERSION
from edge.interface import NoAnswerError

if TYPE_CHECKING:
    from edge.http_json.config import Server

MAX_BYTES = 1 << 20
MOST_REDIRECTS = 3
CHUNK = 1 << 16
LONGEST_RETRY_S = 86_400.0
SHOWN = 160
"""Characters of what a server says, in a sentence."""
REDIRECTS = (301, 302, 303, 307, 308)


class Validators(NamedTuple):
    """What tells the server which content we have."""

    etag: str | None = None
    last_modified: str | None = None


class Answer(NamedTuple):
    """What the server has."""

    body: bytes | None
    """None where it has not changed."""
    validators: Validators


class Request:
    """One request. `run` is called on a thread of its own; `abort`, from another, ends it."""

    def __init__(self, server: Server, path: str, validators: Validators) -> None:
        self._server, self._path, self._validators = server, path, validators
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_over = False

    def abort(self) -> None:
        """End it, wherever it waits."""
        with self._lock:
            self._is_over = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def run(self) -> Answer:
        """Ask.

        Raises: NoAnswerError where nobody answers; TransientError where the server cannot now; PermanentError where it
        refuses, or what it has is of no use.
        """
        server = self._server
        deadline_s = time.monotonic() + server.timeout_s
        target = server.base + self._path
        try:
            headers = self._headers()
            for _ in range(MOST_REDIRECTS + 1):
                found = self._once(target, headers, deadline_s)
                if isinstance(found, Answer):
                    return found
                target = found
        except TimeoutError as error:
            raise NoAnswerError(f"{server}: no answer within {server.timeout_s:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise NoAnswerError(f"{server}: its certificate is not good ({error.verify_message})") from error
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a header that is none
            raise NoAnswerError(f"{server}: no answer ({_shown(str(error)) or type(error).__name__})") from error
        raise PermanentError(f"{server}{self._path}: leads from one place to the next")

    def _once(self, target: str, headers: dict[str, str], deadline_s: float) -> Answer | str:
        """Ask once; returns the answer, or where else it is."""
        connection = self._connection(deadline_s)
        try:
            connection.connect()
            with self._lock:
                self._socket = connection.sock
                if self._is_over:
                    raise TimeoutError
            connection.request("GET", target, headers=headers)
            with connection.getresponse() as response:
                if response.status in REDIRECTS:
                    return self._elsewhere(target, response.getheader("Location") or "")
                self._judge(response)
                if response.status == http.client.NOT_MODIFIED:
                    return Answer(None, self._validators)
                validators = Validators(response.getheader("ETag"), response.getheader("Last-Modified"))
                return Answer(self._body(response, connection, deadline_s), validators)
        finally:
            with self._lock:
                self._socket = None
            connection.close()

    def _connection(self, deadline_s: float) -> http.client.HTTPConnection:
        server = self._server
        rest_s = max(0.1, deadline_s - time.monotonic())
        if server.scheme == "http":
            return http.client.HTTPConnection(server.host, server.port, timeout=rest_s)
        try:
            context = ssl.create_default_context(cafile=server.ca)
        except OSError as error:  # SSLError is one
            raise NoAnswerError(f"{server}: the certificates in {server.ca} cannot be read ({error})") from error
        return http.client.HTTPSConnection(server.host, server.port, timeout=rest_s, context=context)

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"messnetz/{VERSION}",
            "Connection": "close",
        }
        if self._validators.etag is not None:
            headers["If-None-Match"] = self._validators.etag
        if self._validators.last_modified is not None:
            headers["If-Modified-Since"] = self._validators.last_modified
        for name, file in self._server.secrets:
            try:
                secret = _secret(Path(file), is_header=name != "password")
            except ConfigError as error:
                raise NoAnswerError(f"{self._server} is not asked: {error}") from error
            if name == "password":
                known = base64.b64encode(f"{self._server.user}:{secret}".encode()).decode()
                headers["Authorization"] = f"Basic {known}"
            elif name == "bearer":
                headers["Authorization"] = f"Bearer {secret}"
            else:
                headers[name.rstrip(":")] = secret
        return headers

    def _elsewhere(self, target: str, location: str) -> str:
        """Follow a redirect within the server; to others we tell no secrets."""
        here = f"{self._server.scheme}://{self._server.authority}"
        there = urlsplit(urljoin(here + target, location))
        if f"{there.scheme}://{there.netloc}".lower() != here:
            raise PermanentError(f"{here}{target}: sends us to {there.scheme}://{there.netloc}, which is not followed")
        return there.path + (f"?{there.query}" if there.query else "") or "/"

    def _judge(self, response: http.client.HTTPResponse) -> None:
        """Refuse what is no answer."""
        status, reason, where = response.status, _shown(response.reason), f"{self._server}{self._path}"
        if status in (200, 304):
            return
        if status in (401, 403):
            raise PermanentError(f"{where}: refuses us ({status} {reason}); see its user, password or token")
        if status == 404:
            raise PermanentError(f"{where}: not found (404); see 'url' and 'parts'")
        if status == 429 or status >= 500:
            text = response.getheader("Retry-After") or ""
            after_s = min(float(text), LONGEST_RETRY_S) if text.isascii() and text.isdigit() else None
            raise TransientError(f"{where}: cannot answer now ({status} {reason})", retry_after_s=after_s)
        raise PermanentError(f"{where}: answers {status} {reason}")

    def _body(
        self, response: http.client.HTTPResponse, connection: http.client.HTTPConnection, deadline_s: float
    ) -> bytes:
        if (response.getheader("Content-Encoding") or "identity") != "identity":
            raise PermanentError(f"{self._server}{self._path}: answers compressed, which was not asked for")
        body = bytearray()
        while len(body) <= MAX_BYTES:
            rest_s = deadline_s - time.monotonic()
            if rest_s <= 0:
                raise TimeoutError
            if connection.sock is not None:
                connection.sock.settimeout(rest_s)
            chunk = response.read1(CHUNK)
            if not chunk and response.length:  # else a number that was cut off would be another number
                raise NoAnswerError(f"{self._server}{self._path}: the answer breaks off")
            if not chunk:
                return bytes(body)
            body += chunk
        raise PermanentError(f"{self._server}{self._path}: answers with more than {MAX_BYTES >> 20} MiB")


def _shown(text: str) -> str:
    """Return what a server said as a log can have it: short, and without what a terminal obeys."""
    return "".join(character if character.isprintable() else " " for character in text[:SHOWN]).strip()


def _secret(file: Path, *, is_header: bool) -> str:
    """Read a secret; what no header can carry is refused here, since http.client's own error would show it.

    Raises: ConfigError.
    """
    secret = read_secret(file, "a secret of this server")
    if is_header and not (secret.isascii() and secret.isprintable()):
        raise ConfigError(Position(file), "several lines, or characters that no header carries", "the secret alone")
    return secret
