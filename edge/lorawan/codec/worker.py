"""The worker process: runs codecs in QuickJS, and can do nothing else.

It is started as a plain file and imports nothing of ours, so that it stays small. On its standard input come frames,
little-endian: length of the body (4 octets), operation (1), number of the codec (4), body. Each call is answered on
standard output: length of the body (4), status (1), body. At the end of its input it ends.

A codec has a JavaScript context of its own for each number, without any way to the outside, with a limit on processor
time and on memory; contexts that were not used for long go. The kernel holds the limits of the process: no new file,
no new process, so much address space, and so much processor time that a loop in native code ends too, parent or none.
"""

from __future__ import annotations

import contextlib
import os
import resource
import struct
import sys
import time
from pathlib import Path
from typing import Any

LOAD, CALL_UPLINK, CALL_ENCODE, CALL_DOWNLINK = 1, 2, 3, 4
RESULT, FAULT, UNKNOWN, READY, BROKEN = 1, 2, 3, 4, 5
REQUEST, REPLY = struct.Struct("<IBI"), struct.Struct("<IB")
KINDS = {CALL_UPLINK: "uplink", CALL_ENCODE: "encode", CALL_DOWNLINK: "downlink"}

LOAD_CPU_S = 0.2
"""For each of the two scripts of a fresh context; a codec of 300 KB takes a Pi a tenth of a second."""
CALL_CPU_S = 0.1
CALL_BYTES = 5 << 20
STACK_BYTES = 256 << 10
CONTEXTS = 32
KEPT_BYTES = 10 << 20
"""Of all contexts together; beyond it those go that were not used for long."""
GROWTH_BYTES = 1 << 20
"""By which the process may grow between two looks at what its contexts hold."""
ADDRESS_BYTES = 128 << 20
HANG_CPU_S = 3
"""Of one call that QuickJS' own limit does not end."""
CHUNK = 1 << 16
ERROR_CHARACTERS = 300

_NAMES = ("decodeUplink", "Decode", "Decoder", "encodeDownlink", "decodeDownlink")
FIND = "({" + ", ".join(f"{name}: typeof {name} === 'function' ? {name} : undefined" for name in _NAMES) + "})"
"""Names declared with `const` and `let` are no properties of the global object, but seen from a second script."""


class Kept:
    """One codec that was loaded, or why it could not be."""

    def __init__(self, context: Any = None, run: Any = None, error: str = "") -> None:  # noqa: ANN401 - no types there
        self.context = context
        self.run = run
        self.error = error
        self.bytes = 0
        self.weigh()

    def weigh(self) -> None:
        """Look how much memory the context holds."""
        if self.context is not None:
            self.bytes = self.context.memory()["malloc_size"]


class Worker:
    """The codecs of one process, those used last at the end."""

    def __init__(self, engine: Any, prelude: str) -> None:  # noqa: ANN401 - as above
        self._engine = engine
        self._prelude = prelude
        self._kept: dict[int, Kept] = {}
        self._pages = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        """Opened now: later no file can be."""
        self._resident = 0

    def load(self, number: int, source: str) -> None:
        """Give a codec a fresh context; where that fails, its calls will say why."""
        self._kept.pop(number, None)
        try:
            self._kept[number] = self._loaded(source)
        except Exception as error:  # noqa: BLE001 - whatever a codec raises, the other codecs go on
            self._kept[number] = Kept(error=f"cannot be loaded: {_words(error)}")
        self._drop()

    def call(self, number: int, kind: str, given: str) -> tuple[int, str]:
        """Call a codec with its input as JSON; returns a status, and the result as JSON or a sentence."""
        kept = self._kept.pop(number, None)
        if kept is None:
            return UNKNOWN, ""
        self._kept[number] = kept
        if kept.run is None:
            return FAULT, kept.error
        try:
            result = kept.run(kind, given)
            if not isinstance(result, str):
                return FAULT, "gave no result"
        except Exception as error:  # noqa: BLE001 - as above
            if _is_limit(error):  # what it had under way is half done: the next call gets a fresh one
                del self._kept[number]
            return FAULT, _words(error)
        else:
            return RESULT, result
        finally:
            self._look()

    def _loaded(self, source: str) -> Kept:
        context = self._engine.Context()
        context.set_memory_limit(CALL_BYTES)
        context.set_max_stack_size(STACK_BYTES)
        context.set_time_limit(LOAD_CPU_S)
        context.eval(self._prelude)
        bind, run = context.get("__bind"), context.get("__run")
        context.eval("delete globalThis.__bind; delete globalThis.__run")
        context.eval(source)
        bind(context.eval(FIND))
        context.set_time_limit(CALL_CPU_S)
        return Kept(context, run)

    def _look(self) -> None:
        """Look what the contexts hold, where the process has grown: codecs may keep what they like."""
        resident = self._resident_bytes()
        if resident - self._resident < GROWTH_BYTES:
            return
        for kept in self._kept.values():
            kept.weigh()
        self._drop()
        self._resident = self._resident_bytes()

    def _resident_bytes(self) -> int:
        return int(os.pread(self._pages, 200, 0).split()[1]) * os.sysconf("SC_PAGESIZE")

    def _drop(self) -> None:
        """Let contexts go, those first that were used longest ago; the last used one stays."""
        held = sum(kept.bytes for kept in self._kept.values())
        for number in list(self._kept)[:-1]:
            if len(self._kept) <= CONTEXTS and held <= KEPT_BYTES:
                return
            held -= self._kept.pop(number).bytes


def _is_limit(error: Exception) -> bool:
    text = str(error)
    return "interrupted" in text or "out of memory" in text or text.startswith("null") or isinstance(error, MemoryError)


def _words(error: Exception) -> str:
    """Say in one line what a codec failed with."""
    text = str(error)
    if "InternalError: interrupted" in text:
        return "took too much processor time"
    if text.startswith("null") or "out of memory" in text or isinstance(error, MemoryError):
        return f"wanted over {CALL_BYTES >> 20} MiB of memory"
    if isinstance(error, UnicodeError):
        return "gave a text with half a character"
    line = " ".join(text.partition("\n    at ")[0].split()) or type(error).__name__
    return line.removesuffix(" undefined")[:ERROR_CHARACTERS]


def limit_process() -> None:
    """Take from this process what no codec needs. Whatever it will import is imported by now."""
    for what, most in (
        (resource.RLIMIT_AS, ADDRESS_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))


def allow_cpu() -> None:
    """Allow so many seconds of processor time from now on; after them the kernel ends the process."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    until = int(time.process_time()) + 1 + HANG_CPU_S
    if hard == resource.RLIM_INFINITY or until < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (until, hard))


def send(status: int, text: str) -> None:
    """Write one reply."""
    body = text.encode("utf-8", "replace")
    data = REPLY.pack(len(body), status) + body
    while data:
        data = data[os.write(1, data) :]


def serve(worker: Worker) -> None:
    """Answer calls until the input ends."""
    buffer, at = bytearray(), 0
    while True:
        while len(buffer) - at >= REQUEST.size:
            length, operation, number = REQUEST.unpack_from(buffer, at)
            end = at + REQUEST.size + length
            if len(buffer) < end:
                break
            body = buffer[at + REQUEST.size : end].decode("utf-8", "replace")
            at = end
            if operation == LOAD:
                worker.load(number, body)
            else:
                send(*worker.call(number, KINDS[operation], body))
        del buffer[:at]
        at = 0
        data = os.read(0, CHUNK)
        if not data:
            return
        buffer += data
        allow_cpu()


def main() -> int:
    """Run until the parent closes the pipe, or is gone."""
    try:
        import _quickjs  # type: ignore[import-not-found]  # noqa: PLC0415 - `quickjs` itself would start a thread

        prelude = Path(__file__).with_name("prelude.js").read_text(encoding="utf-8")
    except (ImportError, OSError) as error:
        send(BROKEN, str(error))
        return 1
    with contextlib.suppress(OSError):  # the kernel ends this process before the agent
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    worker = Worker(_quickjs, prelude)
    worker.load(0, "")  # what is imported late, is imported now
    worker.load(1, "function decodeUplink(input) { return {data: {when: input.recvTime}}; }")
    worker.call(1, "uplink", '{"bytes": [], "fPort": 1, "recvTime": 0}')
    worker.load(0, "throw 1")
    limit_process()
    send(READY, "")
    with contextlib.suppress(BrokenPipeError):
        serve(worker)
    return 0


if __name__ == "__main__":
    sys.exit(main())
