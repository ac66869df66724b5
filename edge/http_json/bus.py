"""An open HTTP bus: devices are asked for one after the other, and those with one path share an answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from base.errors import TransientError
from edge.http_json.client import Answer, Request, Validators
from edge.http_json.driver import HttpPlan
from edge.interface import Measured, NoAnswerError, ParkedError, Traffic
from edge.turns import Turns

if TYPE_CHECKING:
    from edge.http_json.driver import HttpTarget
    from edge.interface import BusPlan

GRACE_S = 1.0
"""What a request may take beyond its time before it is cut off."""


@dataclass
class _Content:
    """What the server last had under one path."""

    body: bytes
    validators: Validators
    asked_s: float
    """On the monotonic clock."""
    told: set[str]
    """Devices that have made their sample of it."""


@dataclass
class _News:
    """The last time of a device's own, and since when it is that."""

    at_ms: int | None = None
    since_s: float = 0.0


class HttpBus:
    """An open HTTP bus."""

    def __init__(self, plan: HttpPlan) -> None:
        self._plan = plan
        self._turns: Turns[HttpTarget, _News] = Turns(plan.devices, lambda _: _News())
        self._contents: dict[str, _Content] = {}
        self._requests: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._not_before_s = 0.0
        self._hanging: threading.Thread | None = None
        """That of a request which was given up."""

    async def read(self, device: str) -> Measured:
        """Return what the server has of a device.

        Raises: ParkedError where it is not asked now, or has no news; NoAnswerError where it does not answer, or has
        had no news for too long; TransientError where it cannot now; PermanentError where it refuses.
        """
        if time.monotonic() < self._not_before_s:
            raise ParkedError(f"{self._plan.server} wants to be left alone for a while")
        try:
            return self._measured(*await self._turns.ask(device, self._turn))
        except TransientError as error:
            if error.retry_after_s is not None:
                self._not_before_s = time.monotonic() + error.retry_after_s
            raise

    def traffic(self, device: str) -> Traffic:
        """Return how often a device was asked for, and how often in vain."""
        return Traffic(self._requests[device], self._errors[device])

    def parked_s(self, device: str) -> float | None:
        """Return the seconds until a parked device is asked again; None where it is not parked."""
        return self._turns.parked_s(device)

    def follow(self, plan: BusPlan) -> None:
        """Go on with other devices of the same server."""
        if not isinstance(plan, HttpPlan):
            raise TypeError(f"bus {self._plan.id} cannot go on with a {type(plan).__name__}")
        self._turns.follow(plan.devices, lambda _: _News())
        self._plan = plan
        paths = {target.path for target in plan.devices}
        self._contents = {path: content for path, content in self._contents.items() if path in paths}

    async def close(self) -> None:
        """Nothing stays open."""

    async def _turn(self, target: HttpTarget, news: _News) -> tuple[HttpTarget, _News, _Content]:
        """Return what the server has of a device, with what is needed to understand it: it answered, whatever it is."""
        return target, news, await self._content(target)

    async def _content(self, target: HttpTarget) -> _Content:
        """Return what the server has under a device's path: what it just said for another, or a new answer."""
        last = self._contents.get(target.path)
        if last is not None and target.id not in last.told and time.monotonic() - last.asked_s < self._share_s(target):
            last.told.add(target.id)
            return last
        self._requests[target.id] += 1
        asked_s = time.monotonic()
        try:
            answer = await self._ask(target.path, last.validators if last is not None else Validators())
        except NoAnswerError:
            self._errors[target.id] += 1
            raise
        body = answer.body if answer.body is not None else (last.body if last is not None else b"")
        content = self._contents[target.path] = _Content(body, answer.validators, asked_s, {target.id})
        return content

    def _share_s(self, target: HttpTarget) -> float:
        return min(other.interval_s for other in self._plan.devices if other.path == target.path) / 2

    async def _ask(self, path: str, validators: Validators) -> Answer:
        """Ask on a thread; one that hangs in the name service is left to itself, and nothing is asked meanwhile."""
        server = self._plan.server
        if self._hanging is not None and self._hanging.is_alive():
            raise NoAnswerError(f"{server}: the last request still hangs")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Answer] = loop.create_future()
        request = Request(server, path, validators)

        def run() -> None:
            try:
                answer, error = request.run(), None
            except Exception as caught:  # noqa: BLE001 - it is raised where the answer is waited for
                answer, error = None, caught
            try:
                loop.call_soon_threadsafe(_settle, done, answer, error)
            except RuntimeError:  # the loop has ended
                return

        thread = threading.Thread(target=run, name=f"http-{self._plan.id}", daemon=True)
        thread.start()
        try:
            async with asyncio.timeout(server.timeout_s + GRACE_S):
                return await done
        except TimeoutError as error:
            self._hanging = thread
            raise NoAnswerError(f"{server}: no answer within {server.timeout_s:g} s") from error
        finally:
            request.abort()

    def _measured(self, target: HttpTarget, news: _News, content: _Content) -> Measured:
        now_ms = time.time_ns() // 1_000_000
        where = f"{self._plan.server}{target.path}"
        try:
            said = target.model.said(content.body, now_ms)
        except ValueError as error:
            self._errors[target.id] += 1
            raise TransientError(f"{where}: cannot be read: {error}") from error
        if not (said.readings or said.without_value):
            self._errors[target.id] += 1
            raise TransientError(f"{where}: {said.fault or 'has nothing that the profile knows'}")
        if said.at_ms is not None:
            _check_news(target, news, said.at_ms, where)
        return Measured(said.readings, content.asked_s, said.without_value, said.at_ms)


def _check_news(target: HttpTarget, news: _News, at_ms: int, where: str) -> None:
    """Refuse what was there before."""
    now_s = time.monotonic()
    if news.at_ms != at_ms:
        news.at_ms, news.since_s = at_ms, now_s
    elif now_s - news.since_s < target.patience_s:
        raise ParkedError(f"{where}: nothing new")
    else:
        raise NoAnswerError(f"{where}: nothing new since {_utc(at_ms)}")


def _settle(done: asyncio.Future[Answer], answer: Answer | None, error: Exception | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    elif answer is not None:
        done.set_result(answer)


def _utc(at_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"
