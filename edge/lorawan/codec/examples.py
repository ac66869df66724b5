"""Runs the examples of a codec repository: what each codec gives, beside what its maker says that it must."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from base.errors import ConfigError
from edge.lorawan.codec.errors import CodecError
from edge.lorawan.codec.repository import MAX_EXAMPLES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edge.lorawan.codec.codecs import Codecs
    from edge.lorawan.codec.repository import Example, Part, Repository

RECV_TIME_MS = 1_700_000_000_000
SHOWN = 120


class Failure(NamedTuple):
    """One example that does not give what it should, or a file that cannot be read."""

    codec: str
    """`vendor/codec`."""
    example: str
    text: str


@dataclass
class Outcome:
    """What came of one codec."""

    codec: str
    passed: int = 0
    failures: list[Failure] = field(default_factory=list)
    is_unreadable: bool = False

    @property
    def examples(self) -> int:
        """How many there are."""
        return self.passed + (0 if self.is_unreadable else len(self.failures))


async def run_all(repository: Repository, codecs: Codecs) -> AsyncIterator[Outcome]:
    """Run the examples of every codec, one codec after the other."""
    for file in repository.files():
        outcome = await _run_file(repository, codecs, file)
        if outcome is not None:
            yield outcome


async def _run_file(repository: Repository, codecs: Codecs, file: Path) -> Outcome | None:
    outcome = Outcome(f"{file.parent.name}/{file.stem}")
    try:
        content = repository.codec_file(file)
        parts = [("uplink", content.uplink), ("encode", content.encoder), ("downlink", content.downlink)]
        given = [(kind, part, repository.code(file.parent, part)) for kind, part in parts if part is not None]
    except ConfigError as error:
        outcome.is_unreadable = True
        outcome.failures.append(Failure(outcome.codec, "", str(error)))
        return outcome
    if not given:
        return None
    for kind, part, source in given:
        await _run_part(codecs, outcome, kind, part, source)
    return outcome


async def _run_part(codecs: Codecs, outcome: Outcome, kind: str, part: Part, source: str) -> None:
    examples = (part.examples or [])[:MAX_EXAMPLES]
    results = await asyncio.gather(*(_run(codecs, outcome.codec, kind, source, each) for each in examples))
    for example, why in zip(examples, results, strict=True):
        if why is None:
            outcome.passed += 1
        else:
            outcome.failures.append(Failure(outcome.codec, f"{kind}: {example.description}", why))


async def _run(codecs: Codecs, codec: str, kind: str, source: str, example: Example) -> str | None:
    """Run one example; None where it passes."""
    wanted = example.output
    try:
        given = await _call(codecs, codec, kind, source, example.input)
    except CodecError as error:
        wants_error = bool(wanted.get("errors")) and str(error).startswith("says: ")
        return None if wants_error else f"the codec {error}"
    except ValueError as error:
        return str(error)
    if wanted.get("errors"):
        return f"no error, where {_short(wanted['errors'])} is right"
    keys = ("bytes", "fPort") if kind == "encode" else ("data",)
    for key in keys:
        if key in wanted and (why := difference(wanted[key], given.get(key), key)) is not None:
            return why
    return None


async def _call(codecs: Codecs, codec: str, kind: str, source: str, given: dict[str, Any]) -> dict[str, Any]:
    if kind == "encode":
        data = given.get("data", given)
        if not isinstance(data, dict):
            raise ValueError("the example has no data")
        encoded = await codecs.encode_downlink(codec, source, data)
        return {"bytes": list(encoded.payload), "fPort": encoded.f_port}
    f_port, octets = given.get("fPort", 1), given.get("bytes", [])
    if not (isinstance(f_port, int) and isinstance(octets, list) and all(_is_octet(each) for each in octets)):
        raise ValueError("the example has no bytes, or no port")
    if kind == "downlink":
        return {"data": (await codecs.decode_downlink(codec, source, f_port, bytes(octets))).data}
    return {"data": (await codecs.decode(codec, source, f_port, bytes(octets), _recv_time_ms(given))).data}


def _recv_time_ms(given: dict[str, Any]) -> int:
    try:
        return round(datetime.fromisoformat(str(given["recvTime"])).timestamp() * 1000)
    except (KeyError, ValueError, OverflowError):
        return RECV_TIME_MS


def _is_octet(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def difference(wanted: object, given: object, at: str) -> str | None:
    """Say where two values differ first; None where they are the same. Nothing and null are the same."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        for key in sorted(wanted.keys() | given.keys()):
            if (why := difference(wanted.get(key), given.get(key), f"{at}.{key}")) is not None:
                return why
        return None
    if isinstance(wanted, list) and isinstance(given, list) and len(wanted) == len(given):
        pairs = enumerate(zip(wanted, given, strict=True))
        return next((why for n, pair in pairs if (why := difference(*pair, f"{at}[{n}]")) is not None), None)
    if _is_number(wanted) and _is_number(given):
        is_same = math.isclose(float(wanted), float(given), rel_tol=1e-9, abs_tol=1e-9)  # type: ignore[arg-type]
    else:
        is_same = wanted == given and isinstance(wanted, bool) == isinstance(given, bool)
    return None if is_same else f"{at}: {_short(wanted)} is right, {_short(given)} was given"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
