"""The worker process: what it can do, what it cannot, and what a codec costs that goes wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.lorawan.codec import codecs as codecs_module
from edge.lorawan.codec import process as process_module
from edge.lorawan.codec import worker
from edge.lorawan.codec.codecs import Codecs, shared
from edge.lorawan.codec.errors import CodecError, NoWorkerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.slow

GOOD = "function decodeUplink(input) { return {data: {first: input.bytes[0]}}; }"
PAYLOAD = b"\x2a\x01"


def _with(story: Callable[[Codecs], Awaitable[None]]) -> None:
    async def run() -> None:
        codecs = Codecs()
        try:
            await story(codecs)
        finally:
            await codecs.close()

    asyncio.run(run())


async def _decode(codecs: Codecs, device: str = "device", source: str = GOOD) -> object:
    return (await codecs.decode(device, source, 1, PAYLOAD, 1_700_000_000_000)).data


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _gone(pid: int) -> bool:
    try:
        return _status(pid)["State"].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_nothing_is_started_before_the_first_message() -> None:
    """A gateway without LoRaWAN pays nothing for codecs."""

    async def story(codecs: Codecs) -> None:
        assert codecs.pid is None
        assert await _decode(codecs) == {"first": 42}
        assert codecs.pid is not None

    _with(story)


def test_the_worker_is_small_and_has_one_thread() -> None:
    """Under 30 MB with as many codecs as it keeps; QuickJS' time limit counts the threads of a whole process."""

    async def story(codecs: Codecs) -> None:
        for number in range(3 * worker.CONTEXTS):
            await _decode(codecs, f"device{number}")
        assert codecs.pid is not None
        status = _status(codecs.pid)
        assert int(status["VmHWM"].split()[0]) < 30_000
        assert status["Threads"] == "1"

    _with(story)


def test_codecs_that_keep_what_they_get_keep_it_from_nobody() -> None:
    """Each holds four megabytes in the end, and they are many: the worker stays small, and every one is answered."""
    keeps = (
        "var kept = [];"
        "function decodeUplink() {"
        "  if (kept.length < 4) kept.push(new Uint8Array(1 << 20).fill(1));"
        "  return {data: {kept: kept.length}};"
        "}"
    )

    async def story(codecs: Codecs) -> None:
        for _ in range(6):
            for number in range(worker.CONTEXTS - 2):
                assert await _decode(codecs, f"keeps{number}", keeps)
                assert await _decode(codecs) == {"first": 42}
        assert codecs.pid is not None
        assert int(_status(codecs.pid)["VmHWM"].split()[0]) < 30_000

    _with(story)


def test_the_kernel_holds_the_worker() -> None:
    """No file, no process, so much memory; its environment holds nothing of the agent's."""

    async def story(codecs: Codecs) -> None:
        await _decode(codecs)
        process = Path(f"/proc/{codecs.pid}")
        limits = (process / "limits").read_text(encoding="ascii")
        rows = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()[1:]}
        assert rows["Max open files"] == ["0", "0"]
        assert rows["Max processes"] == ["0", "0"]
        assert rows["Max file size"] == ["0", "0"]
        assert int(rows["Max address space"][0]) <= worker.ADDRESS_BYTES
        assert int(rows["Max cpu time"][0]) < 10
        environment = (process / "environ").read_text(encoding="utf-8").split("\0")
        names = {name.partition("=")[0] for name in environment if name}
        assert names <= {"TZ", "LC_ALL", "PATH", "LD_LIBRARY_PATH", "MALLOC_MMAP_THRESHOLD_"}

    _with(story)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("function decodeUplink() { while (true) {} }", "processor time"),
        ("while (true) {}", "processor time"),
        ("function decodeUplink() { return /(a+)+b/.test('a'.repeat(60)); }", "processor time"),
        ("function decodeUplink() { return new Proxy({}, {get() { for (;;) {} }}); }", "processor time"),
        ("function decodeUplink() { return decodeUplink() + 1; }", "call stack"),
        ("function decodeUplink() { const a = []; for (;;) a.push(new Array(1000).fill(1)); }", "memory"),
        ("function decodeUplink() { const a = []; for (;;) a.push(new Uint8Array(1e6)); }", "memory"),
        ("function decodeUplink() { return {data: {text: 'x'.repeat(1e5)}}; }", "65536"),
        ("function decodeUplink() { const a = {}; a.a = a; return a; }", "circular"),
        ("function decodeUplink() { throw new Error('out of order'); }", "out of order"),
        ("async function decodeUplink() { return {}; }", "promise"),
        ("function decodeUplink() { return 7; }", "number"),
        ("function decodeUplink() {}", "undefined"),
        ("function decodeUplink() { return {data: {n: 1n}}; }", "BigInt"),
        ("function decodeUplink() { return {errors: ['unknown FPort']}; }", "unknown FPort"),
        ("let x = ;", "SyntaxError"),
        ("var x = 1;", "none of decodeUplink"),
    ],
)
def test_a_bad_codec_costs_its_own_message(source: str, says: str) -> None:
    """Within a second; the next device is decoded as if nothing had been, and the agent's loop never stands still."""

    async def story(codecs: Codecs) -> None:
        await _decode(codecs)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        begin, cpu = time.monotonic(), time.process_time()
        bad, good = await asyncio.gather(
            _decode(codecs, "bad", source), _decode(codecs, "good"), return_exceptions=True
        )
        ticking.cancel()
        assert isinstance(bad, CodecError)
        assert says in str(bad) or "did not end" in str(bad)
        assert good == {"first": 42}
        assert codecs.faults == 1
        if time.monotonic() - begin > 0.15:
            assert ticks >= 5
        assert time.process_time() - cpu < 0.5

    _with(story)


def test_a_worker_that_hangs_is_killed() -> None:
    """By the wall clock; where it had no processor time it is not the message's fault, and that is decoded again."""

    async def story(codecs: Codecs) -> None:
        await _decode(codecs)
        first = codecs.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        assert await asyncio.gather(*(_decode(codecs, f"device{n}") for n in range(5))) == [{"first": 42}] * 5
        assert codecs.pid != first
        assert _gone(first)

    _with(story)


def test_a_message_that_ends_the_worker_is_not_tried_again() -> None:
    """Else it would end every worker; who waited behind it is decoded by the next one."""

    async def story(codecs: Codecs) -> None:
        await _decode(codecs)
        assert codecs.pid is not None
        os.kill(codecs.pid, signal.SIGSTOP)
        first, second = asyncio.create_task(_decode(codecs, "a")), asyncio.create_task(_decode(codecs, "b"))
        await asyncio.sleep(0.05)
        os.kill(codecs.pid, signal.SIGKILL)
        with pytest.raises(CodecError, match="ended the worker"):
            await first
        assert await second == {"first": 42}
        assert codecs.restarts == 1

    _with(story)


def test_workers_that_end_at_once_are_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """With growing pauses; whoever has a message is told to come again."""
    monkeypatch.setattr(process_module, "FILE", Path("/nonexistent/worker.py"))
    monkeypatch.setattr(codecs_module, "LONGEST_WAIT_S", 0.0)

    async def story(codecs: Codecs) -> None:
        with pytest.raises(NoWorkerError, match="ended before it was there"):
            await _decode(codecs)
        told = [await asyncio.gather(_decode(codecs), return_exceptions=True) for _ in range(10)]
        assert all(isinstance(error, NoWorkerError) for (error,) in told)
        assert any(error.retry_after_s for (error,) in told if isinstance(error, NoWorkerError))
        assert codecs.faults == 0

    _with(story)


def test_devices_share_nothing() -> None:
    """Each has a context of its own, kept from message to message."""
    source = "var count = 0; function decodeUplink() { return {data: {count: ++count}}; }"

    async def story(codecs: Codecs) -> None:
        assert await _decode(codecs, "a", source) == {"count": 1}
        assert await _decode(codecs, "a", source) == {"count": 2}
        assert await _decode(codecs, "b", source) == {"count": 1}
        assert await _decode(codecs, "a", source + " ") == {"count": 1}

    _with(story)


def test_a_device_that_was_let_go_is_loaded_again() -> None:
    """More devices than contexts cost time, and nothing else."""

    async def story(codecs: Codecs) -> None:
        devices = [f"device{n}" for n in range(2 * worker.CONTEXTS)]
        for _ in range(2):
            answers = await asyncio.gather(*(_decode(codecs, device) for device in devices))
            assert answers == [{"first": 42}] * len(devices)

    _with(story)


def test_a_worker_is_replaced_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it may have leaked goes with it; no message is lost."""
    monkeypatch.setattr(codecs_module, "RENEW_AFTER", 10)

    async def story(codecs: Codecs) -> None:
        pids = set()
        for _ in range(35):
            assert await _decode(codecs) == {"first": 42}
            pids.add(codecs.pid)
        assert len(pids) >= 3
        assert codecs.restarts == 0

    _with(story)


def test_time_is_utc_and_the_reception_is_given() -> None:
    """A codec that works with local time gives the same on every gateway."""
    source = """function decodeUplink(input) {
      return {data: {at: input.recvTime.toISOString(), zone: new Date(0).getTimezoneOffset(), port: input.fPort}};
    }"""

    async def story(codecs: Codecs) -> None:
        assert await _decode(codecs, "device", source) == {"at": "2023-11-14T22:13:20.000Z", "zone": 0, "port": 1}

    _with(story)


def test_messages_to_a_device() -> None:
    """`encodeDownlink` and `decodeDownlink`; what is no message is refused."""
    source = """
      exports.encodeDownlink = (input) => ({bytes: Buffer.from([1, input.data.interval]), fPort: 3});
      exports.decodeDownlink = (input) => ({data: {interval: input.bytes[1], port: input.fPort}});
    """
    none = "function encodeDownlink() { return {bytes: [256]}; }"

    async def story(codecs: Codecs) -> None:
        encoded = await codecs.encode_downlink("device", source, {"interval": 60})
        assert (encoded.f_port, encoded.payload) == (3, b"\x01\x3c")
        decoded = await codecs.decode_downlink("device", source, 3, encoded.payload)
        assert decoded.data == {"interval": 60, "port": 3}
        with pytest.raises(CodecError, match="no message"):
            await codecs.encode_downlink("device", none, {})
        with pytest.raises(CodecError, match="has no encodeDownlink"):
            await codecs.encode_downlink("device", GOOD, {})

    _with(story)


def test_a_caller_that_gives_up_disturbs_nobody() -> None:
    """Its answer is dropped; the others get their own."""

    async def story(codecs: Codecs) -> None:
        await _decode(codecs)
        for _ in range(20):
            lost = asyncio.create_task(_decode(codecs, "lost"))
            kept = asyncio.create_task(_decode(codecs, "kept"))
            await asyncio.sleep(0)
            lost.cancel()
            assert await kept == {"first": 42}

    _with(story)


def test_all_sources_of_a_gateway_share_one_worker() -> None:
    """One for each event loop."""

    async def run() -> None:
        assert shared() is shared()
        await shared().close()

    asyncio.run(run())


PARENT = """
import asyncio, sys
from edge.lorawan.codec.codecs import Codecs
async def main():
    codecs = Codecs(answer_s=60)
    await codecs.decode("d", "function decodeUplink(i) { return {a: 1} }", 1, b"1", 0)
    print(codecs.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_the_worker_ends_when_the_agent_is_killed() -> None:
    """Without a word from it: the end of its input is enough."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 10
    while not _gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
