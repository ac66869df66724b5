"""Commands on the gateway: only from whoever holds a key, only for it, only in time, only once."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from clocks import Clocks
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import ConfigError
from gateway import clock, commands
from gateway.command_keys import read_keys
from gateway.command_memory import CommandMemory
from gateway.commands import AUDIT_NAME, MEMORY_NAME
from gateway.timekeeper import Timekeeper
from wire import signing
from wire.command import Configure, Downlink, Maintenance, Read, Reload, Resend
from wire.readings import Flag, Reading, Sample

from orders import OTHER_PRIVATE, PRIVATE, PUBLIC, Gateway, order, sign, sign_text, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wire.command import Command

DONE = ["accepted", "done"]
HOUR_MS = 3_600_000


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Make gateways on one directory: a second one is a restart of the first."""
    made: list[Gateway] = []

    def gateway(**settings: Any) -> Gateway:  # noqa: ANN401 - whatever a gateway takes
        made.append(Gateway(tmp_path, **settings))
        return made[-1]

    yield gateway
    for each in made:
        each.close()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let so many milliseconds pass, or the clocks go back as far."""
    real, real_boot, offset = clock.now_ms, clock.boot_ms, 0

    def move(by_ms: int) -> None:
        nonlocal offset
        offset += by_ms

    monkeypatch.setattr(clock, "now_ms", lambda: real() + offset)
    monkeypatch.setattr(clock, "boot_ms", lambda: real_boot() + offset)
    return move


def _audit(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / AUDIT_NAME).read_text().splitlines()]


def test_a_device_is_read_now(make: Callable[..., Gateway]) -> None:
    """And what it says is in the reply."""
    gateway, command = make(), order(Read(device="meter"))
    assert gateway.states(sign(command)) == DONE
    reply = gateway.replies[-1]
    assert (reply.id, reply.gateway, reply.text) == (command.id, "school-gw", "device meter: 1 readings")
    assert reply.result is not None
    assert reply.result["readings"] == [
        {"quantity": "voltage", "value": 230.0, "unit": "V", "channel": "L1", "flags": 0}
    ]


def test_a_command_is_carried_out_once(make: Callable[..., Gateway]) -> None:
    """However often the broker delivers it, and over restarts."""
    message = sign(order())
    first = make()
    assert sorted(first.states(message, message)) == ["accepted", "done", "refused"]
    assert first.states(message) == ["refused"]
    again = make()
    assert again.take(message) == [("refused", "received before (done); a command is carried out once")]
    assert (first.device.reached, again.device.reached) == (["meter"], [])


def _with(**changed: object) -> str:
    """Text of a command in which some members are others."""
    return json.dumps(msgspec.to_builtins(order()) | changed)


SILENT: list[tuple[str, Callable[[], bytes]]] = [
    ("nothing", lambda: b""),
    ("not signed", lambda: msgspec.json.encode(order())),
    ("by another key", lambda: sign(order(), OTHER_PRIVATE)),
    (
        "by another key under the id of ours",
        lambda: sign(order(), OTHER_PRIVATE).replace(
            signing.key_id(signing.public_key(OTHER_PRIVATE)).encode(),
            signing.key_id(signing.public_key(PRIVATE)).encode(),
        ),
    ),
    ("altered", lambda: sign(order()).replace(b"meter", b"motor")),
    ("without an address", lambda: sign_text("{}")),
    ("with a life of a year", lambda: sign_text(_with(expires_at_ms=clock.now_ms() + 365 * 24 * HOUR_MS))),
]


@pytest.mark.parametrize("message", [case for _, case in SILENT], ids=[name for name, _ in SILENT])
def test_who_has_no_key_hears_nothing(
    message: Callable[[], bytes], make: Callable[..., Gateway], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """No reply, nothing on the disk; counted, and said once, however many there are."""
    gateway = make()
    assert gateway.take(*[message() for _ in range(20)]) == []
    assert (gateway.device.reached, gateway.commands.ignored) == ([], 20)
    assert caplog.text.count("commands that nobody with a key of ours has signed") == 1
    assert list(tmp_path.iterdir()) == []


REFUSED: list[tuple[str, Callable[[], bytes], str]] = [
    ("for another gateway", lambda: sign(order(gateway="plant-gw")), "addressed to gateway plant-gw"),
    (
        "expired",
        lambda: sign(order(issued_at_ms=clock.now_ms() - HOUR_MS, expires_at_ms=clock.now_ms() - 5_000)),
        "expired 5 s ago by the gateway's clock",
    ),
    (
        "not valid yet",
        lambda: sign(order(issued_at_ms=clock.now_ms() + HOUR_MS, expires_at_ms=clock.now_ms() + 2 * HOUR_MS)),
        "not valid yet: issued 3600 s ahead of the gateway's clock",
    ),
    (
        "unknown",
        lambda: sign_text(_with(action={"command": "reboot"})),
        "no command of this release: Invalid value 'reboot' - at `$.action.command`",
    ),
    (
        "with a member too many",
        lambda: sign_text(_with(sudo=True)),
        "no command of this release: Object contains unknown field `sudo`",
    ),
]


@pytest.mark.parametrize(("message", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_signed_and_cannot_be_done_is_refused_with_the_reason(
    message: Callable[[], bytes], reason: str, make: Callable[..., Gateway], tmp_path: Path
) -> None:
    """And stands in the audit log."""
    gateway = make()
    assert gateway.take(message()) == [("refused", reason)]
    assert gateway.device.reached == []
    (entry,) = _audit(tmp_path)
    assert (entry["state"], entry["text"]) == ("refused", reason)


def test_a_retained_command_is_refused_and_stays_so(make: Callable[..., Gateway]) -> None:
    """Also where somebody publishes it again as it should have been."""
    gateway, message = make(), sign(order())
    ((state, text),) = gateway.take(message, retained=True)
    assert (state, text) == ("refused", "retained by the broker: a command is for now, and for once")
    assert gateway.take(message) == [("refused", "received before (refused); a command is carried out once")]
    assert gateway.device.reached == []


def test_without_time_nothing_is_carried_out(make: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could say whether it has expired; and a refused one stays refused when time comes."""
    monkeypatch.setattr(clock, "kernel_is_synchronised", lambda: False)
    message = sign(order())
    keeper = Timekeeper("kernel")
    gateway = make(keeper=keeper)
    ((state, text),) = gateway.take(message)
    assert (state, text.partition(",")[0]) == ("refused", "the gateway's clock is not synchronised")
    monkeypatch.setattr(clock, "kernel_is_synchronised", lambda: True)
    keeper.turn(is_connected=True)
    assert gateway.states(message) == ["refused"]
    assert gateway.states(sign(order())) == DONE
    assert gateway.device.reached == ["meter"]


@pytest.mark.parametrize("damage", ["missing", "empty", "a damaged line", "unreadable"])
def test_where_nobody_knows_what_was_seen_only_new_commands_are_taken(
    damage: str, make: Callable[..., Gateway], tmp_path: Path, later: Callable[[int], None]
) -> None:
    """A new SD card or a broken one revives none."""
    message, memory = sign(order(expires_at_ms=clock.now_ms() + HOUR_MS)), tmp_path / MEMORY_NAME
    assert make().states(message) == DONE
    later(60_000)
    match damage:
        case "missing":
            memory.unlink()
        case "empty":
            memory.write_bytes(b"")
        case "a damaged line":
            memory.write_bytes(b"\x00\xff\n" + memory.read_bytes().partition(b"\n")[0] + b"\n")
        case _:
            memory.unlink()
            memory.mkdir()
            (memory / "in-the-way").mkdir()
    gateway = make()
    ((state, text),) = gateway.take(message)
    assert state == "refused"
    if damage == "unreadable":
        assert "cannot be written" in text
        return
    assert text == "older than what this gateway remembers of commands; send it again as a new one"
    assert gateway.states(sign(order())) == DONE
    assert gateway.device.reached == ["meter"]


def test_a_clock_that_is_set_back_revives_nothing(
    make: Callable[..., Gateway], tmp_path: Path, later: Callable[[int], None]
) -> None:
    """What expired is forgotten, and what is so old is refused for ever."""
    message = sign(order())
    assert make().states(message) == DONE
    later(HOUR_MS)
    assert make().states(sign(order())) == DONE
    assert (tmp_path / MEMORY_NAME).read_text().count('"seen"') == 1
    later(-HOUR_MS)
    gateway = make()
    ((state, text),) = gateway.take(message)
    assert (state, text.partition(" ")[0]) == ("refused", "older")
    assert gateway.device.reached == []


def test_a_disk_that_refuses_lets_nothing_be_done(
    make: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be remembered could be done twice."""
    gateway = make()
    assert gateway.states(sign(order())) == DONE

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    message = sign(order())
    monkeypatch.setattr("gateway.command_memory.os.fsync", full)
    ((state, text),) = gateway.take(message)
    assert (state, text.rpartition(": ")[2]) == ("refused", "cannot be written (No space left on device)")
    monkeypatch.undo()
    assert gateway.states(message) == ["refused"]
    assert gateway.device.reached == ["meter"]
    assert gateway.states(sign(order())) == DONE


def test_each_entry_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When `remember` returns, a power cut cannot take it back: the new file, its directory, and each line after."""
    synced: list[bytes] = []
    memory = CommandMemory(tmp_path / MEMORY_NAME)
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve().name.encode())

    monkeypatch.setattr("gateway.command_memory.os.fsync", fsync)
    memory.begin(0)
    assert synced == [f"{MEMORY_NAME}.new".encode(), tmp_path.name.encode()]
    memory.remember("0" * 32, 1, "accepted")
    memory.end("0" * 32, "done")
    assert synced[2:] == [MEMORY_NAME.encode()] * 2
    memory.close()


def test_no_more_ids_are_remembered_than_the_disk_is_meant_to_hold(
    make: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch, later: Callable[[int], None]
) -> None:
    """More commands are refused until some have expired."""
    monkeypatch.setattr("gateway.command_memory.MOST_REMEMBERED", 3)
    gateway = make()
    for _ in range(3):
        assert gateway.states(sign(order())) == DONE
    ((state, text),) = gateway.take(sign(order()))
    assert (state, text.partition(" ")[0]) == ("refused", "3")
    later(HOUR_MS)
    assert gateway.states(sign(order())) == DONE


def test_the_memory_is_rewritten_and_stays_small(make: Callable[..., Gateway], tmp_path: Path) -> None:
    """A thousand spans of maintenance are one."""
    gateway = make()
    for _ in range(300):
        gateway.commands._memory.maintain("meter", 0, 1)
    assert len((tmp_path / MEMORY_NAME).read_bytes()) < 10_000
    assert make().commands._memory.in_maintenance("meter", 0)


CHILD = """
import os, signal, sys
from pathlib import Path
from orders import Gateway
gateway = Gateway(Path(sys.argv[1]))
async def die():
    os.kill(os.getpid(), signal.SIGKILL)
gateway.device.on_read = die
gateway.take(bytes.fromhex(sys.argv[2]))
"""


@pytest.mark.slow
def test_an_agent_that_dies_over_a_command_does_not_run_it_again(make: Callable[..., Gateway], tmp_path: Path) -> None:
    """Killed after it was remembered and before it did anything: whoever waits is told, and it stays undone."""
    command = order()
    died = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), sign(command).hex()],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        check=False,
        timeout=60,
    )
    assert died.returncode == -signal.SIGKILL
    gateway = make()
    assert [state for state, _ in gateway.take()] == ["failed"]
    assert (gateway.replies[0].id, "not run again" in gateway.replies[0].text) == (command.id, True)
    assert gateway.take(sign(command)) == [("refused", "received before (failed); a command is carried out once")]
    assert gateway.device.reached == []
    assert [entry["state"] for entry in _audit(tmp_path)] == ["accepted", "failed", "refused"]


def test_a_line_that_a_power_cut_tore_was_of_a_command_that_had_not_begun(
    make: Callable[..., Gateway], tmp_path: Path
) -> None:
    """It may come again; the whole lines before it hold."""
    first, second = sign(order()), sign(order())
    assert make().states(first) == DONE
    memory = tmp_path / MEMORY_NAME
    memory.write_bytes(memory.read_bytes() + b'{"type":"seen","id":"00')
    gateway = make()
    assert gateway.states(first) == ["refused"]
    assert gateway.states(second) == DONE


def test_maintenance_marks_what_the_device_measures_until_it_ends(make: Callable[..., Gateway]) -> None:
    """Also after a restart; another device is left alone, and a new span replaces the old one."""
    now_ms = clock.now_ms()
    gateway = make()
    assert gateway.states(sign(order(Maintenance(device="meter", from_ms=now_ms, to_ms=now_ms + 1000)))) == DONE
    restarted = make()
    flags = {
        (device, at_ms): restarted.commands.marked(_sample(device, now_ms + at_ms)).readings[0].flags
        for device in ("meter", "other")
        for at_ms in (-1, 0, 999, 1000)
    }
    assert {key for key, value in flags.items() if value == Flag.MAINTENANCE | Flag.STEP} == {
        ("meter", 0),
        ("meter", 999),
    }
    assert set(flags.values()) == {Flag.STEP, Flag.STEP | Flag.MAINTENANCE}
    assert restarted.states(sign(order(Maintenance(device="meter", from_ms=now_ms, to_ms=now_ms)))) == DONE
    assert restarted.commands.marked(_sample("meter", now_ms)).readings[0].flags == Flag.STEP


def _sample(device: str, at_ms: int) -> Sample:
    return Sample(device, at_ms, (Reading("voltage", 1.0, "V", flags=Flag.STEP.value),))


@pytest.mark.parametrize("device", [None, "school-gw"])
def test_a_gateway_may_be_in_maintenance_as_a_whole_or_itself(device: str | None, make: Callable[..., Gateway]) -> None:
    """Without a device it is all of them; its own id means its own condition alone."""
    gateway, now_ms = make(), clock.now_ms()
    assert gateway.states(sign(order(Maintenance(device=device, from_ms=now_ms, to_ms=now_ms + 1)))) == DONE
    assert gateway.commands.marked(_sample("school-gw", now_ms)).readings[0].flags & Flag.MAINTENANCE
    marked = gateway.commands.marked(_sample("meter", now_ms)).readings[0].flags & Flag.MAINTENANCE
    assert bool(marked) == (device is None)


def test_the_agent_lends_what_it_can(make: Callable[..., Gateway]) -> None:
    """Reload and resend; what they say is the answer."""

    async def reload() -> str:
        return "1234"

    async def resend(from_ms: int, to_ms: int) -> int:
        return to_ms - from_ms

    gateway = make(reload=reload, resend=resend)
    assert gateway.take(sign(order(Reload())))[-1] == ("done", "configuration 1234 is in force")
    assert gateway.take(sign(order(Resend(from_ms=10, to_ms=17))))[-1] == ("done", "7 batches will be sent again")
    assert gateway.replies[-1].result == {"batches": 7}


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (Reload(), "this agent cannot reload its configuration; start it again instead"),
        (Resend(from_ms=0, to_ms=1), "this agent cannot resend what was confirmed"),
        (Read(device="nowhere"), "gateway school-gw has no device 'nowhere'"),
        (Maintenance(device="nowhere", from_ms=0, to_ms=1), "gateway school-gw has no device 'nowhere'"),
        (Configure(device="meter", setting="x", value=1), "the driver of bus hall cannot"),
        (Downlink(device="meter", payload="00"), "the driver of bus hall cannot"),
    ],
)
def test_what_cannot_be_done_fails_with_its_reason(action: Any, text: str, make: Callable[..., Gateway]) -> None:  # noqa: ANN401
    """After it was accepted: the handler found out."""
    assert make().take(sign(order(action)))[1:] == [("failed", text)]


def test_a_fault_of_ours_fails_one_command_and_no_other(
    make: Callable[..., Gateway], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged whole, and the reply keeps it to itself."""
    gateway = make()

    async def stumble() -> None:
        raise ZeroDivisionError("secret")

    gateway.device.on_read = stumble
    assert gateway.take(sign(order()))[-1] == ("failed", "an internal error; the agent's log has it")
    assert "ZeroDivisionError: secret" in caplog.text
    gateway.device.on_read = None
    assert gateway.states(sign(order())) == DONE


def test_a_result_that_cannot_be_written_is_left_out(
    make: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A driver's fault costs its own result: not the reply, not those that follow, not the agent."""
    gateway = make()

    async def carry_out(_command: object) -> dict[str, Any]:
        return {"said": object()}

    monkeypatch.setattr(gateway.device, "carry_out", carry_out)
    message = sign(order(Configure(device="meter", setting="interval_min", value=20)))
    assert sorted(gateway.states(message, sign(order()))) == ["accepted", "accepted", "done", "done"]
    assert "the result is left out" in caplog.text


def test_one_that_takes_long_says_so_and_costs_the_others_nothing(
    make: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They run beside it, up to a bound; one beyond it is refused."""
    monkeypatch.setattr(commands, "PROGRESS_S", 0.01)
    monkeypatch.setattr(commands, "MOST_RUNNING", 2)
    gateway = make()
    slow, busy, third = order(), order(), order()
    begun: list[str] = []

    def answered(command: Command) -> list[str]:
        return [reply.state for reply in gateway.replies if reply.id == command.id]

    async def wait() -> None:
        begun.append("")
        if len(begun) == 1:
            await until(lambda: answered(slow).count("progress") >= 3)
            gateway.commands.message(sign(busy), False)  # noqa: FBT003 - as Handlers.message has it
        else:
            gateway.commands.message(sign(third), False)  # noqa: FBT003 - as Handlers.message has it
        await until(lambda: answered(third) == ["refused"])

    gateway.device.on_read = wait
    gateway.take(sign(slow))
    assert [answered(command)[-1] for command in (slow, busy, third)] == ["done", "done", "refused"]
    assert gateway.replies[[reply.state for reply in gateway.replies].index("refused")].text.startswith(
        "2 commands run"
    )


def test_one_that_never_ends_is_ended(make: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch) -> None:
    """By a time-out."""
    monkeypatch.setattr(commands, "LONGEST_RUN_S", 0.01)
    gateway = make()
    gateway.device.on_read = asyncio.Event().wait  # type: ignore[assignment] # a read that never answers
    assert gateway.take(sign(order()))[-1] == ("failed", "not done in 0.01 s")


def test_an_agent_that_stops_says_what_becomes_of_its_commands(
    make: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a moment of grace."""
    monkeypatch.setattr(commands, "GRACE_S", 0.01)
    gateway = make()

    async def play() -> None:
        stop = asyncio.Event()

        async def hang() -> None:
            stop.set()
            await asyncio.Event().wait()

        gateway.device.on_read = hang
        gateway.commands.message(sign(order()), False)  # noqa: FBT003 - as Handlers.message has it
        await asyncio.wait_for(gateway.commands.run(stop), 20)

    gateway._runner.run(play())
    assert gateway.replies[-1].text == "the agent was stopped before it was done"
    assert make().take() == [], "it has ended and is not reported once more"


def test_replies_wait_for_the_connection(make: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order: a reload may well cost the connection for a moment."""
    monkeypatch.setattr(commands, "RETRY_REPLY_S", 0.01)
    gateway = make()
    gateway.is_connected = False
    assert gateway.states(sign(order())) == []
    gateway.is_connected = True
    assert gateway.states(sign(order())) == [*DONE, *DONE]


def test_more_than_can_be_looked_at_is_dropped_and_counted(make: Callable[..., Gateway]) -> None:
    """A flood costs no memory."""
    gateway = make()
    gateway.take(*[b"x"] * 100)
    assert gateway.commands.ignored == 100
    gateway.take(*[sign(order())] * (commands.MOST_ARRIVED + 5))
    assert gateway.commands.ignored == 105


def test_the_audit_log_says_who_wanted_what(make: Callable[..., Gateway], tmp_path: Path) -> None:
    """When, id, key, command with its arguments, outcome; and the journal has it too."""
    gateway, command = make(), order(Read(device="meter"))
    gateway.take(sign(command))
    accepted, done = _audit(tmp_path)
    assert accepted["action"] == {"command": "read", "device": "meter"}
    assert accepted["key"] == signing.key_id(signing.public_key(PRIVATE))
    assert [(entry["id"], entry["state"]) for entry in (accepted, done)] == [
        (command.id, "accepted"),
        (command.id, "done"),
    ]
    assert done["at_ms"] == pytest.approx(command.issued_at_ms, abs=60_000)


def test_the_journal_has_a_line_for_each_command(
    make: Callable[..., Gateway], caplog: pytest.LogCaptureFixture
) -> None:
    """With what was asked."""
    caplog.set_level(logging.INFO)
    command = order(Read(device="meter"))
    make().take(sign(command))
    assert f'command {command.id} {{"command":"read","device":"meter"}} done: device meter: 1 readings' in caplog.text


def test_an_audit_log_that_cannot_be_written_is_said(
    make: Callable[..., Gateway], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The journal still has the line."""
    (tmp_path / AUDIT_NAME).mkdir()
    assert make().states(sign(order())) == DONE
    assert f"{AUDIT_NAME}: cannot be written" in caplog.text


def test_without_a_key_nothing_is_subscribed_to(make: Callable[..., Gateway]) -> None:
    """A gateway obeys nobody unless it is told whom."""
    gateway = make(keys=[])
    assert gateway.commands.topic is None
    assert gateway.take(sign(order())) == []
    assert make().commands.topic == "messnetz/school-gw/command"


def test_several_keys_are_obeyed_while_one_is_replaced(make: Callable[..., Gateway], tmp_path: Path) -> None:
    """In the configuration or in a file, with a word about each."""
    other = signing.write_key(signing.public_key(OTHER_PRIVATE))
    file = tmp_path / "keys.pub"
    file.write_text(f"# of 2026\n{PUBLIC}\n\n{other}  # of 2027\n")
    for keys in ([PUBLIC, other], str(file), [str(file)]):
        gateway = make(keys=keys)
        assert gateway.states(sign(order()), sign(order(), OTHER_PRIVATE)).count("done") == 2


def test_new_keys_are_obeyed_and_old_ones_are_not(make: Callable[..., Gateway]) -> None:
    """From a reload on; one whose keys cannot be read leaves the former ones in force."""
    gateway = make()
    config = gateway.config(keys=signing.write_key(signing.public_key(OTHER_PRIVATE)))
    gateway.commands.follow(config)
    assert gateway.states(sign(order())) == []
    assert gateway.states(sign(order(), OTHER_PRIVATE)) == DONE
    with pytest.raises(ConfigError):
        gateway.commands.follow(gateway.config(keys="/nowhere/keys.pub"))
    assert gateway.states(sign(order(), OTHER_PRIVATE)) == DONE
    gateway.commands.follow(gateway.config(keys=[]))
    assert gateway.commands.topic is None


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [(None, 1, "no readable file"), ("", 1, "no public key"), (f"{PUBLIC}\nsecret\n", 2, "no public key")],
)
def test_a_file_without_keys_is_a_wrong_configuration(text: str | None, line: int, found: str, tmp_path: Path) -> None:
    """Named by its line, and not by what stands there."""
    file = tmp_path / "keys.pub"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_keys(str(file))
    assert (caught.value.at.line, caught.value.found.startswith(found)) == (line, True)
    assert "secret" not in str(caught.value)


def test_the_signature_library_is_not_loaded_before_a_command_comes(tmp_path: Path) -> None:
    """A gateway that never gets one never pays for it."""
    code = (
        "import sys; from pathlib import Path; from orders import Gateway, sign, order, PUBLIC\n"
        f"gateway = Gateway(Path({str(tmp_path)!r}), keys={PUBLIC!r})\n"
        "for name in [name for name in sys.modules if name.split('.')[0] == 'nacl']: del sys.modules[name]\n"
        "gateway.take(b'rubbish'); print('nacl' in sys.modules)\n"
        "gateway.take(sign(order())); print('nacl' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split() == ["False", "True"], done.stderr


NOW_MS = 1_800_000_000_000
members = st.fixed_dictionaries(
    {
        "gateway": st.sampled_from(["school-gw"] * 3 + ["plant-gw"]),
        "id": st.sampled_from(["0" * 32, "1" * 32, "2" * 32]),
        "issued_ms": st.sampled_from([0, 0, 0, 1, -1, commands.SKEW_MS, commands.SKEW_MS + 1, -HOUR_MS])
        | st.integers(-HOUR_MS, HOUR_MS),
        "life_ms": st.sampled_from([1, HOUR_MS, HOUR_MS]),
        "private": st.sampled_from([PRIVATE] * 3 + [OTHER_PRIVATE]),
        "retained": st.sampled_from([False] * 3 + [True]),
        "flipped": st.none() | st.none() | st.integers(0, 4000),
        "restart": st.booleans(),
    }
)


@given(sent=st.lists(members, min_size=1, max_size=6))
@settings(max_examples=40)
def test_exactly_what_passes_every_gate_reaches_a_handler(
    sent: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Signed by a configured key, for this gateway, in time, not retained, not answered before; over restarts."""
    directory = tmp_path_factory.mktemp("property")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now_ms", lambda: NOW_MS)
        keeper = Timekeeper("trusted", Clocks(true_ms=NOW_MS))
        patch.setattr(keeper, "wall_ms", lambda _: NOW_MS)
        gateway, answered = Gateway(directory, keeper=keeper), set()
        for case in sent:
            if case["restart"]:
                gateway.close()
                gateway = Gateway(directory, keeper=keeper)
            command, reached = _command(case), len(gateway.device.reached)
            message = bytearray(sign(command, case["private"]))
            if case["flipped"] is not None:
                message[case["flipped"] % len(message)] ^= 1
            is_judged = case["flipped"] is None and case["private"] == PRIVATE and _is_ours(command)
            gateway.take(bytes(message), retained=case["retained"])
            may_run = is_judged and not case["retained"] and command.issued_at_ms <= NOW_MS + commands.SKEW_MS
            assert len(gateway.device.reached) - reached == (may_run and command.id not in answered)
            answered |= {command.id} if is_judged else set()
        gateway.close()


def _command(case: dict[str, Any]) -> Command:
    issued_at_ms = NOW_MS + case["issued_ms"]
    expires_at_ms = issued_at_ms + case["life_ms"]
    return order(gateway=case["gateway"], id=case["id"], issued_at_ms=issued_at_ms, expires_at_ms=expires_at_ms)


def _is_ours(command: Command) -> bool:
    """Whether it is for this gateway, has not expired, and was issued since its memory of commands began."""
    is_timely = command.expires_at_ms >= NOW_MS and command.issued_at_ms >= NOW_MS - commands.ROUNDING_MS
    return command.gateway == "school-gw" and is_timely
