from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cloud.stores.http import Http

from http_doubles import http_answer

if TYPE_CHECKING:
    from http_doubles import ScriptedServer

TEXT = "first line\nsecond\n\nthird, which is longer than the others\nlast, without an end"


def in_pieces(text: str, length: int) -> bytes:
    """An answer in HTTP's chunked coding, with chunks of so many bytes."""
    pieces = [text[start : start + length] for start in range(0, len(text), length)]
    coded = "".join(f"{len(piece):x}\r\n{piece}\r\n" for piece in pieces)
    return f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{coded}0\r\n\r\n".encode()


@pytest.mark.parametrize("length", [1, 2, 3, 7, 12, 20, 1000])
def test_lines_are_the_same_however_they_are_cut(scripted: ScriptedServer, length: int) -> None:
    """A line may come in many pieces, and a piece may hold many lines."""
    http = Http("a store", scripted.url, {})
    scripted.answers = [in_pieces(TEXT, length)]

    lines = [line.decode() for line in http.lines("/query", {}, {})]

    assert lines == TEXT.split("\n")
    http.close()


def test_a_read_that_is_given_up_ends_its_connection(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not read would be taken for the answer to the next request."""
    http = Http("a store", scripted.url, {})
    scripted.answers = [http_answer(200, "line\n" * 100_000)]
    responses: list[Any] = []
    request = http._pool.request

    def kept(*args: Any, **settings: Any) -> Any:  # noqa: ANN401 - as urllib3's
        responses.append(request(*args, **settings))
        return responses[-1]

    monkeypatch.setattr(http._pool, "request", kept)
    lines = http.lines("/query", {}, {})

    assert next(lines) == b"line"
    assert not responses[0].closed
    lines.close()

    assert responses[0].closed
    http.close()
