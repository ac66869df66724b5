"""An open HTTP bus: devices are asked for one after the other, and those with one path share an answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from base.errors import MessnetzError, TransientError
from edge.http_json.client import Answer, Request, Validators
from edge.http_json.driver import HttpPlan
from edge.interface import Measured, NoAnswerError, ParkedError, Traffic
from edge.parking import Parking

if TYPE_CHECKING:
    from edge.http_json.driver import HttpTarget
    from edge.interface import BusPlan
    from edge.json_source.model import Said

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
    """The last time of a device's own."""

    at_ms: int
    since_s: float


class HttpBus:
    """An open HTTP bus."""

    def __init__(self, plan: HttpPlan) -> None:
        self._plan = plan
        self._targets = {target.id: target for target in plan.devices}
        self._contents: dict[str, _Content] = {}
        self._news: dict[str, _News] = {}
        self._parking = Parking()
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
        target = self._targets[device]
        if not self._parking.is_due(device):
            raise ParkedError(f"device {device} does not answer; asked more rarely")
        if time.monotonic() < self._not_before_s:
            raise ParkedError(f"{self._plan.server} wants to be left alone for a while")
        began_s = time.monotonic()
        try:
            content = await self._content(target)
        except NoAnswerError:
            self._parking.failed(device, time.monotonic() - began_s)
            raise
        except TransientError as error:
            self._parking.answered(device)
            if error.retry_after_s is not None:
                self._not_before_s = time.monotonic() + error.retry_after_s
            raise
        except MessnetzError:
            self._parking.answered(device)
            raise
        self._parking.answered(device)
        return self._measured(target, content)

    def traffic(self, device: str) -> Traffic:
        """Return how often a device was asked for, and how often in vain."""
        return Traffic(self._requests[device], self._errors[device])

    def parked_s(self, device: str) -> float | None:
        """Return the seconds until a parked device is asked again; None where it is not parked."""
        return self._parking.probe_in_s(device)

    def follow(self, plan: BusPlan) -> None:
        """Go on with other devices of the same server."""
        if not isinstance(plan, HttpPlan):
            raise TypeError(f"bus {self._plan.id} cannot go on with a {type(plan).__name__}")
        now = {target.id: target for target in plan.devices}
        for name, target in self._targets.items():
            if name not in now or now[name].meaning != target.meaning:
                self._parking.answered(name)
                self._news.pop(name, None)
        self._plan, self._targets = plan, now
        paths = {target.path for target in plan.devices}
        self._contents = {path: content for path, content in self._contents.items() if path in paths}

    async def close(self) -> None:
        """Nothing stays open."""

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
        return min(other.interval_s for other in self._targets.values() if other.path == target.path) / 2

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

    def _measured(self, target: HttpTarget, content: _Content) -> Measured:
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
            self._check_news(target, said, where)
        return Measured(said.readings, content.asked_s, said.without_value, said.at_ms)

    def _check_news(self, target: HttpTarget, said: Said, where: str) -> None:
        """Refuse what was there before."""
        assert said.at_ms is not None  # noqa: S101 - asked for its time alone
        now_s = time.monotonic()
        news = self._news.get(target.id)
        if news is None or news.at_ms != said.at_ms:
            self._news[target.id] = _News(said.at_ms, now_s)
            return
        if now_s - news.since_s < target.patience_s:
            raise ParkedError(f"{where}: nothing new")
        raise NoAnswerError(f"{where}: nothing new since {_utc(said.at_ms)}")


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
