"""The transport on a line that misbehaves: never a wrong value, and recovery by itself."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtu_line import Asked, Line, crc16, line, refusal, reply

from base import strict_yaml
from base.errors import MessnetzError, TransientError
from edge.drivers import plan_bus
from edge.interface import NoAnswerError
from edge.modbus import transport as transports
from edge.modbus.config import Endpoint, SerialLine, SerialSettings
from edge.modbus.registers import Request
from edge.modbus.transport import DamagedAnswerError, RefusedError, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

TIMEOUT_S = 0.06
REQUEST = Request(3, 100, 4)
RIGHT = [100, 101, 102, 103]


@pytest.fixture(autouse=True)
def _short_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "QUIET_AFTER_TIMEOUT_S", 0.005)


def _serial(port: str) -> SerialLine:
    return SerialLine(port, SerialSettings(baud_rate=115200))


def _on_line(play: Callable[[Line, Transport], Awaitable[None]]) -> None:
    """Run a play on a fresh line."""

    async def run() -> None:
        with line() as far_end:
            transport = Transport(_serial(far_end.port), TIMEOUT_S)
            try:
                await play(far_end, transport)
            finally:
                transport.close()

    asyncio.run(run())


def test_a_good_device_is_read() -> None:
    """Each register holds its own address."""

    async def play(_line: Line, transport: Transport) -> None:
        assert await transport.read(1, REQUEST) == RIGHT
        assert await transport.read(1, Request(4, 0, 2)) == [0, 1]

    _on_line(play)


def test_a_late_reply_is_never_taken_for_the_next_one() -> None:
    """It comes in the moment of the next question, of the same length, from the same unit: the worst case."""

    async def play(far_end: Line, transport: Transport) -> None:
        far_end.behave = lambda _asked: b""
        with pytest.raises(NoAnswerError):
            await transport.read(1, REQUEST)
        late = far_end.asked[-1].answer()
        far_end.behave = lambda asked: late + asked.answer() if len(far_end.asked) == 2 else asked.answer()
        for _ in range(5):
            try:
                words = await transport.read(1, Request(3, 200, 4))
            except NoAnswerError:
                continue
            assert words == [200, 201, 202, 203]
            return
        pytest.fail("the line did not recover")

    _on_line(play)


@pytest.mark.parametrize("how", ["checksum", "cut", "noise before"])
def test_an_answer_that_comes_damaged_is_told_from_silence(how: str) -> None:
    """It counts as an error of the line; and the next answer is the right one."""

    def spoilt(asked: Asked) -> bytes:
        answer = asked.answer()
        return {"checksum": answer[:-1] + b"\x00", "cut": answer[:6], "noise before": b"\x01\x03\x02\x07" + answer}[how]

    async def play(far_end: Line, transport: Transport) -> None:
        far_end.behave = lambda asked: spoilt(asked) if len(far_end.asked) == 1 else asked.answer()
        with pytest.raises(DamagedAnswerError):
            await transport.read(1, REQUEST)
        assert transport.traffic(1) == (1, 1)
        assert await transport.read(1, REQUEST) == RIGHT

    _on_line(play)


def test_noise_that_is_no_answer_is_silence() -> None:
    """Another unit's answer, or one that was not asked for, does not show that a unit is there."""

    async def play(far_end: Line, transport: Transport) -> None:
        far_end.behave = lambda asked: reply(2, asked.function_code, [7] * asked.count) + b"\x01\x03\x7f" * 3
        with pytest.raises(NoAnswerError):
            await transport.read(1, REQUEST)

    _on_line(play)


def test_what_a_dead_unit_owes_costs_its_bus_mates_nothing() -> None:
    """A late reply of unit 1 while unit 2 is asked is passed over; unit 2 is read at the first try."""

    async def play(far_end: Line, transport: Transport) -> None:
        far_end.behave = lambda _asked: b""
        with pytest.raises(NoAnswerError):
            await transport.read(1, REQUEST)
        late = far_end.asked[-1].answer()

        def answer_soon(asked: Asked) -> bytes:
            asyncio.get_running_loop().call_later(0.01, far_end.write, asked.answer())
            return late

        far_end.behave = answer_soon
        assert await transport.read(2, REQUEST) == RIGHT

    _on_line(play)


REFUSALS = [
    (1, RefusedError),
    (2, RefusedError),
    (3, RefusedError),
    (4, TransientError),
    (6, TransientError),
    (11, NoAnswerError),
]


@pytest.mark.parametrize(("code", "kind"), REFUSALS)
def test_an_exception_is_typed_by_what_can_be_done(code: int, kind: type[MessnetzError]) -> None:
    """Some go away, some never will, and a gateway may say that nobody answers behind it."""

    async def play(far_end: Line, transport: Transport) -> None:
        far_end.behave = lambda asked: refusal(asked.unit, asked.function_code, code)
        with pytest.raises(kind, match=rf"\({code}\) on registers 100 to 103"):
            await transport.read(1, REQUEST)

    _on_line(play)


def _corrupt(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 0x01]) + data[-2:]


def _framed(frame: bytes) -> bytes:
    return frame + crc16(frame)


MISBEHAVIOURS: dict[str, Callable[[Asked], bytes]] = {
    "silence": lambda _asked: b"",
    "a damaged checksum": lambda asked: _corrupt(asked.answer()),
    "half a reply": lambda asked: asked.answer()[:5],
    "another unit's reply": lambda asked: reply(asked.unit + 1, asked.function_code, [9] * asked.count),
    "another function code": lambda asked: reply(asked.unit, 7 - asked.function_code, [9] * asked.count),
    "fewer registers": lambda asked: asked.answer(count=asked.count - 1) if asked.count > 1 else b"",
    "more registers": lambda asked: asked.answer(count=asked.count + 1),
    "the request's echo": lambda asked: bytes([asked.unit, asked.function_code, 0, 0, 0, 1, 0, 0]),
    "an exception to another function code": lambda asked: refusal(asked.unit, 7 - asked.function_code, 2),
    "an odd number of bytes": lambda asked: _framed(
        bytes([asked.unit, asked.function_code, 2 * asked.count + 1]) + bytes(2 * asked.count + 1)
    ),
    "more promised than there is": lambda asked: _framed(bytes([asked.unit, asked.function_code, 200]) + bytes(4)),
    "a reply without values": lambda asked: reply(asked.unit, asked.function_code, []),
}


@pytest.mark.parametrize("how", MISBEHAVIOURS)
def test_no_misbehaviour_yields_a_value(how: str) -> None:
    """An error of ours each time; afterwards the line is well again."""

    async def play(far_end: Line, transport: Transport) -> None:
        far_end.behave = MISBEHAVIOURS[how]
        for _ in range(3):
            with pytest.raises(TransientError):
                await transport.read(1, REQUEST)
        far_end.behave = Asked.answer
        assert await _read_soon(transport, REQUEST) == RIGHT

    _on_line(play)


async def _read_soon(transport: Transport, request: Request) -> list[int] | None:
    for _ in range(10):
        try:
            return await transport.read(1, request)
        except NoAnswerError:
            continue
    return None


faults = st.one_of(
    st.just(b""),
    st.binary(max_size=40),
    st.sampled_from(sorted(MISBEHAVIOURS)),
    st.just("right"),
    st.just("late"),
    st.just("right with rubbish behind"),
    st.just("twice"),
)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2]), st.sampled_from([3, 4]), st.integers(0, 500), st.integers(1, 4), faults),
        min_size=1,
        max_size=6,
    )
)
def test_a_device_that_speaks_anything_never_yields_a_wrong_value(
    script: list[tuple[int, int, int, int, bytes | str]],
) -> None:
    """Garbage, late, half, doubled, someone else's: every answer is right or an error of ours."""

    async def play(far_end: Line, transport: Transport) -> None:
        late: list[bytes] = []

        for unit, function_code, address, count, fault in script:

            def behave(asked: Asked, fault: bytes | str = fault) -> bytes:
                owed = b"".join(late)
                late.clear()
                return owed + _respond(asked, fault, late)

            far_end.behave = behave
            try:
                words = await transport.read(unit, Request(function_code, address, count))
            except MessnetzError:
                continue
            assert words == [address + n for n in range(count)]

    _on_line(play)


def _respond(asked: Asked, fault: bytes | str, late: list[bytes]) -> bytes:
    right = asked.answer()
    if isinstance(fault, bytes):
        return fault
    if fault == "late":
        late.append(right)
        return b""
    simple = {"right": right, "right with rubbish behind": right + b"\x00\xff\x17", "twice": right + right}
    return simple[fault] if fault in simple else MISBEHAVIOURS[fault](asked)


def test_a_pulled_adapter_is_found_again(tmp_path: Path) -> None:
    """The port vanishes and comes back under its lasting name, as a USB adapter does."""
    port = tmp_path / "by-id"

    async def play() -> None:
        transport = Transport(_serial(str(port)), TIMEOUT_S)
        with line() as first:
            port.symlink_to(first.port)
            assert await transport.read(1, REQUEST) == RIGHT
        with pytest.raises(NoAnswerError):
            await transport.read(1, REQUEST)
        port.unlink()
        with pytest.raises(NoAnswerError, match=str(port)):
            await transport.read(1, REQUEST)
        with line() as second:
            port.symlink_to(second.port)
            assert await _read_soon(transport, REQUEST) == RIGHT
        transport.close()

    asyncio.run(play())


def test_the_line_is_silent_between_frames() -> None:
    """3.5 characters of 11 bits at 300 baud are 128 ms; the next request never comes earlier."""

    async def play() -> None:
        with line() as far_end:
            times: list[float] = []

            def note(asked: Asked) -> bytes:
                times.append(asyncio.get_running_loop().time())
                return asked.answer()

            far_end.behave = note
            transport = Transport(SerialLine(far_end.port, SerialSettings(baud_rate=300)), 2.0)
            await transport.read(1, REQUEST)
            await transport.read(1, REQUEST)
            await transport.read(1, REQUEST, turnaround_s=0.1)
            await transport.read(1, REQUEST)
            transport.close()
            assert times[1] - times[0] >= 3.5 * 11 / 300
            assert times[3] - times[2] >= 3.5 * 11 / 300 + 0.1

    asyncio.run(play())


@asynccontextmanager
async def _tcp_server(talk: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """Serve on a free loopback port; every chunk that comes is answered by `talk`."""
    talks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(cast("asyncio.Task[None]", asyncio.current_task()))
        while data := await reader.read(1024):
            writer.write(talk(data))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*talks), 10)


def test_rtu_over_tcp_is_read() -> None:
    """A serial server passes RTU frames through as they are."""

    async def play() -> None:
        async with _tcp_server(lambda data: Asked(data).answer()) as port:
            transport = Transport(Endpoint("127.0.0.1", port, is_rtu=True), 2.0)
            assert await transport.read(1, REQUEST) == RIGHT
            transport.close()

    asyncio.run(play())


def test_a_late_modbus_tcp_reply_is_told_by_its_number() -> None:
    """The answer to the first transaction comes with the second question, of the same length."""
    owed: list[bytes] = []

    def talk(data: bytes) -> bytes:
        head, unit, code = data[:4], data[6], data[7]
        address = int.from_bytes(data[8:10], "big")
        words = b"".join((address + n).to_bytes(2, "big") for n in range(4))
        answer = head + (3 + len(words)).to_bytes(2, "big") + bytes([unit, code, len(words)]) + words
        if not owed:
            owed.append(answer)
            return b""
        return owed[0] + answer

    async def play() -> None:
        async with _tcp_server(talk) as port:
            transport = Transport(Endpoint("127.0.0.1", port), 0.2)
            with pytest.raises(NoAnswerError):
                await transport.read(1, REQUEST)
            assert await transport.read(1, Request(3, 200, 4)) == [200, 201, 202, 203]
            transport.close()

    asyncio.run(play())


def _tcp_answer(question: bytes, *, number: int | None = None, protocol: int = 0, unit: int | None = None) -> bytes:
    """Answer a Modbus TCP question with the addresses that it asked for."""
    address, count = int.from_bytes(question[8:10], "big"), int.from_bytes(question[10:12], "big")
    words = b"".join((address + n).to_bytes(2, "big") for n in range(count))
    head = question[:2] if number is None else number.to_bytes(2, "big")
    tail = bytes([question[6] if unit is None else unit, question[7], len(words)]) + words
    return head + protocol.to_bytes(2, "big") + len(tail).to_bytes(2, "big") + tail


FOREIGN_FRAMES: dict[str, Callable[[bytes], bytes]] = {
    "another transaction": lambda question: _tcp_answer(question, number=4711),
    "another unit": lambda question: _tcp_answer(question, unit=77),
    "the answer twice": _tcp_answer,
}


@pytest.mark.parametrize("how", FOREIGN_FRAMES)
def test_a_foreign_modbus_tcp_frame_is_passed_over(how: str) -> None:
    """Before the right answer, in one segment with it; and one after the other is read."""

    async def play() -> None:
        async with _tcp_server(lambda data: FOREIGN_FRAMES[how](data) + _tcp_answer(data)) as port:
            transport = Transport(Endpoint("127.0.0.1", port), 2.0)
            for address in (100, 200, 300):
                expected = [address + n for n in range(4)]
                assert await transport.read(1, Request(3, address, 4)) == expected
            transport.close()

    asyncio.run(play())


def test_what_is_no_modbus_tcp_is_no_answer() -> None:
    """Another protocol's number, or a length that none has: nothing says where the next frame begins."""
    for garbage in (b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(40), b"\xff" * 40):

        async def play(garbage: bytes = garbage) -> None:
            async with _tcp_server(lambda data: garbage + _tcp_answer(data, protocol=1)) as port:
                transport = Transport(Endpoint("127.0.0.1", port), 0.1)
                with pytest.raises(NoAnswerError):
                    await transport.read(1, REQUEST)
                transport.close()

        asyncio.run(play())


def test_a_modbus_tcp_answer_may_come_in_pieces() -> None:
    """Byte by byte, as a slow serial server sends it."""
    written: list[asyncio.Task[None]] = []

    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        written.append(cast("asyncio.Task[None]", asyncio.current_task()))
        while question := await reader.read(1024):
            for byte in _tcp_answer(question):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    async def play() -> None:
        server = await asyncio.start_server(dribble, "127.0.0.1", 0)
        transport = Transport(Endpoint("127.0.0.1", server.sockets[0].getsockname()[1]), 2.0)
        for _ in range(3):
            assert await transport.read(1, REQUEST) == RIGHT
        transport.close()
        server.close()
        await asyncio.gather(*written)

    asyncio.run(play())


@pytest.mark.parametrize("function_code", [1, 2])
def test_bits_come_over_modbus_tcp(function_code: int) -> None:
    """The first bit is the least significant of the first byte."""

    def talk(question: bytes) -> bytes:
        return question[:4] + b"\0\x05" + question[6:8] + b"\x02\x05\x02"

    async def play() -> None:
        async with _tcp_server(talk) as port:
            transport = Transport(Endpoint("127.0.0.1", port), 2.0)
            assert await transport.read(1, Request(function_code, 0, 10)) == [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]
            transport.close()

    asyncio.run(play())


def test_a_modbus_tcp_server_that_hangs_up_is_no_answer_and_is_called_again() -> None:
    """As devices do that allow a connection one question, or none while they restart."""
    calls: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.read(1024)
        calls.append(question)
        if len(calls) > 1:
            writer.write(_tcp_answer(question))
        writer.close()

    async def play() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        transport = Transport(Endpoint("127.0.0.1", server.sockets[0].getsockname()[1]), 2.0)
        with pytest.raises(NoAnswerError):
            await transport.read(1, REQUEST)
        assert await transport.read(1, REQUEST) == RIGHT
        transport.close()
        server.close()
        await server.wait_closed()

    asyncio.run(play())
    assert calls[0][:2] != calls[1][:2], "a new connection counts on"


@pytest.mark.parametrize("body", [bytes([0x81, 2]), bytes([3, 3, 3, 32, 9]), bytes([3, 200, 1, 2]), b"\x03", b"\x83"])
def test_a_modbus_tcp_reply_that_fits_nothing_is_no_answer_and_no_trace(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Someone else's exception, an odd number of bytes, more promised than there is, half of it."""

    def talk(data: bytes) -> bytes:
        return data[:4] + (1 + len(body)).to_bytes(2, "big") + data[6:7] + body

    async def play() -> None:
        async with _tcp_server(talk) as port:
            transport = Transport(Endpoint("127.0.0.1", port), 0.2)
            with pytest.raises(NoAnswerError):
                await transport.read(1, REQUEST)
            transport.close()

    asyncio.run(play())
    assert "Traceback" not in caplog.text


def test_a_port_that_is_none_is_said() -> None:
    """The line is in the message, and no trace."""

    async def play() -> None:
        for where in (_serial("/dev/ttyNone"), Endpoint("127.0.0.1", 1)):
            with pytest.raises(NoAnswerError, match=str(where)):
                await Transport(where, TIMEOUT_S).read(1, REQUEST)

    asyncio.run(play())


def test_noise_parks_nobody_and_silence_does(tmp_path: Path) -> None:
    """A meter whose answers come damaged is asked at every turn; one that says nothing is asked more rarely."""

    async def run() -> None:
        with line() as far_end:
            text = (
                f"id: l\ndriver: modbus\nserial: {far_end.port}\nbaud_rate: 115200\ntimeout_s: 0.1\n"
                "devices:\n  - {id: main, profile: eastron/sdm630, site: s, unit: 1}\n"
            )
            plan = plan_bus(strict_yaml.parse(text.encode(), tmp_path / "gw.yaml"), ())
            bus = plan.open()
            far_end.behave = lambda asked: asked.answer()[:-1] + b"\x00"
            for _ in range(4):
                with pytest.raises(DamagedAnswerError):
                    await bus.read("main")
                assert bus.parked_s("main") is None
            far_end.behave = lambda _asked: b""
            for _ in range(2):
                with pytest.raises(NoAnswerError):
                    await bus.read("main")
            assert bus.parked_s("main") is not None
            await bus.close()

    asyncio.run(run())
