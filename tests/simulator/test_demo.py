"""The whole demo, as a user runs it: real processes, real broker, real store."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lacking import lacking

from simulator import broker, servers, stores
from simulator.demo import Demo, Interrupts
from simulator.demo import run_demo as run_demo_here
from simulator.processes import UnstartedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.progress import Progress

    from servers import Influx1, Influx2

DEADLINE_S = 90.0
DEMO = (sys.executable, "-m", "messnetz", "demo")
AT_WORK = "made "


def run_demo(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a demo to its end."""
    return subprocess.run(
        (*DEMO, *options),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, **environment},
    )


@contextmanager
def started(*options: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that runs; ended in every case."""
    with subprocess.Popen((*DEMO, *options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        try:
            yield demo
        finally:
            demo.kill()


def read_until(demo: subprocess.Popen[str], text: str) -> str:
    """What a demo says until it says this."""
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"it never said {text!r}, but:\n{said}")


def read_terminal(terminal: int, pattern: bytes) -> bytes:
    """What a terminal shows until it matches, or until nobody writes to it any more."""
    seen = b""
    deadline = time.monotonic() + DEADLINE_S
    with suppress(OSError):  # how Linux says that the other end of a pty is closed
        while not re.search(pattern, seen) and time.monotonic() < deadline:
            seen += os.read(terminal, 65536)
    return seen


def processes_of(directory: Path) -> dict[int, str]:
    """Pid and command line of all processes that a demo started in its directory."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode() if entry.name.isdigit() else ""
        except OSError:  # it ended meanwhile
            continue
        if f"{directory}/" in command:
            found[int(entry.name)] = command
    return found


def check_clean(account: dict[str, Any]) -> None:
    """Every reading that was made is stored once, as it was."""
    assert account["made"] > 0
    assert account["own"] > 0
    assert account["stored"] == account["made"]
    assert account["sealed"] == account["confirmed"] == account["made"] + account["own"]
    faults = ["lost", "declared", "unaccounted", "stored_and_declared", "duplicates", "wrong", "wrong_time"]
    faults += ["displaced", "unregistered"]
    assert {name: account[name] for name in faults} == dict.fromkeys(faults, 0)


@pytest.mark.slow
def test_the_demo_loses_nothing_with_either_broker(kind: str, tmp_path: Path) -> None:
    """`--json` ends with the account alone on stdout; progress is on stderr, and nothing keeps running."""
    demo = run_demo("--seconds", "12", "--json", "--broker", kind, "--keep", str(tmp_path / "kept"))
    assert demo.returncode == 0, demo.stderr
    check_clean(json.loads(demo.stdout))
    assert re.search(rf"broker: {kind}, 127\.0\.0\.1:\d+", demo.stderr)
    assert re.search(r"\d+ s +made +[1-9]\d* +sealed +\d+ +confirmed +\d+ +stored +\d+", demo.stderr)
    assert not processes_of(tmp_path / "kept")
    assert {"town.yaml", "registry.yaml", "store.sqlite", "agent.log"} <= {
        file.name for file in (tmp_path / "kept").iterdir()
    }


@pytest.mark.slow
def test_two_demos_in_one_influxdb_1_do_not_count_each_other(influx1: Influx1) -> None:
    """The account is that of the run, whatever the database holds already."""
    for _ in range(2):
        demo = run_demo("--seconds", "5", "--json", "--store", f"influx1:{influx1.url}/demo")
        assert demo.returncode == 0, demo.stderr
        check_clean(json.loads(demo.stdout))


@pytest.mark.slow
def test_the_demo_loses_nothing_on_influxdb_2(influx2: Influx2) -> None:
    """With the token from the environment."""
    store = f"influx2:{influx2.url}/{influx2.org}/{influx2.bucket}"
    demo = run_demo("--seconds", "5", "--json", "--store", store, MESSNETZ_INFLUX_TOKEN=influx2.token)
    assert demo.returncode == 0, demo.stderr
    check_clean(json.loads(demo.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_demo_ends_with_its_account(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, a service manager, a closed terminal: in order, and nothing keeps running."""
    with started("--keep", str(tmp_path / "kept")) as demo:
        read_until(demo, AT_WORK)
        demo.send_signal(number)
        said = read_until(demo, "Every reading arrived once")
        assert demo.wait(DEADLINE_S) == 0
    assert re.search(r"lost +0 .*\nduplicates +0 .*\nwrong +0 ", said)
    assert not processes_of(tmp_path / "kept")


@pytest.mark.slow
def test_a_demo_interrupted_before_it_runs_leaves_nothing_behind(tmp_path: Path) -> None:
    """Exit code 130, as after any Ctrl-C, and no trace."""
    with started("--keep", str(tmp_path / "kept")) as demo:
        read_until(demo, "messnetz town check")
        demo.send_signal(signal.SIGINT)
        said, _ = demo.communicate(timeout=DEADLINE_S)
        assert demo.returncode == 130
    assert "Traceback" not in said
    assert not processes_of(tmp_path / "kept")


@pytest.mark.slow
def test_a_demo_that_is_killed_leaves_nothing_running(kind: str, tmp_path: Path) -> None:
    """The kernel ends its processes for it; the broker too, whoever started it."""
    with started("--keep", str(tmp_path / "kept"), "--broker", kind) as demo:
        port = re.search(r"broker: .*:(\d+)", read_until(demo, AT_WORK))
        assert port is not None
        demo.kill()
        deadline = time.monotonic() + DEADLINE_S
        while is_served(int(port[1])) or processes_of(tmp_path / "kept"):
            assert time.monotonic() < deadline, processes_of(tmp_path / "kept")
            time.sleep(0.05)


def is_served(port: int) -> bool:
    """Whether somebody answers on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_a_demo_interrupted_so_soon_that_its_agent_did_not_listen_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends as one that was interrupted before it ran; one that was not interrupted names the agent."""

    class Silent:
        live = False

        def say(self, text: str) -> None:
            """Say nothing."""

        async def show(self, progress: Progress) -> None:
            """Show nothing."""

    async def at_once(_demo: Demo, interrupts: Interrupts, *_: object) -> None:
        if is_interrupted:
            interrupts.ended.set()

    async def unstarted(*_: object) -> None:
        raise UnstartedError("the agent was ended before it had started properly")

    async def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(Demo, "_watch", at_once)
    monkeypatch.setattr(Demo, "_finish", unstarted)
    monkeypatch.setattr(Demo, "_check", nothing)
    demo = Demo(tmp_path, broker.choose(None), stores.parse("embedded"), None, Silent())
    is_interrupted = True
    assert run_demo_here(demo) is None
    is_interrupted = False
    with pytest.raises(UnstartedError):
        run_demo_here(demo)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "name"), [("gateway run", "agent"), ("cloud run", "collector"), ("mosquitto.conf", "broker")]
)
def test_a_part_that_dies_fails_the_demo_by_name(victim: str, name: str, tmp_path: Path) -> None:
    """Exit code 1 and a sentence, not a hang and not a trace; the other parts are ended."""
    if name == "broker" and broker.find_mosquitto() is None:
        lacking("no mosquitto here: apt-get install mosquitto")
    with started("--keep", str(tmp_path / "kept")) as demo:
        read_until(demo, AT_WORK)
        (pid,) = [pid for pid, command in processes_of(tmp_path / "kept").items() if victim in command]
        os.kill(pid, signal.SIGKILL)
        said, _ = demo.communicate(timeout=DEADLINE_S)
        assert demo.returncode == 1
    assert f"the {name} died (exit code -9)" in said
    assert "Traceback" not in said
    assert not processes_of(tmp_path / "kept")


@pytest.mark.slow
def test_a_store_that_cannot_be_reached_fails_the_demo_with_a_sentence() -> None:
    """Before anything is measured."""
    demo = run_demo("--seconds", "5", "--store", f"influx1:http://127.0.0.1:{servers.free_port()}")
    assert demo.returncode == 1
    assert "`messnetz cloud check` failed" in demo.stderr
    assert "Traceback" not in demo.stderr


@pytest.mark.slow
def test_on_a_terminal_the_demo_is_a_picture_and_ends_with_its_account() -> None:
    """It draws on the alternate screen, shows stored values, and leaves the terminal as it was."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen(DEMO, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as demo:
        os.close(theirs)
        seen = read_terminal(ours, rb"town-hall-main .* W +.* V +.* kWh")
        demo.send_signal(signal.SIGINT)
        seen += read_terminal(ours, rb"Every reading arrived once")
        assert demo.wait(DEADLINE_S) == 0
    os.close(ours)
    enter, leave = b"\x1b[?1049h", b"\x1b[?1049l"
    assert (seen.count(enter), seen.count(leave)) == (1, 1)
    assert seen.index(leave) < seen.index(b"Every reading arrived once")


@pytest.mark.slow
def test_a_demo_whose_devices_are_broken_accounts_for_each_reading(tmp_path: Path) -> None:
    """`messnetz demo fault`: no value of silence or garbage; a wrong one stored as it was sent."""
    kept = tmp_path / "kept"
    orders = (
        ("town-hall-main", "wrong", "--how", "negative", "--for", "4s"),
        ("sewage-blower", "silent", "--for", "3s"),
        ("school-kitchen", "garbage", "--for", "3s"),
        ("heating-pumps", "off", "--for", "3s"),
    )
    with started("--keep", str(kept), "--seconds", "20", "--json") as demo:
        read_until(demo, AT_WORK)
        for order in orders:
            assert subprocess.run((*DEMO, "fault", *order, "--in", str(kept)), check=False, timeout=60).returncode == 0
        refused = subprocess.run(
            (*DEMO, "fault", "nobody", "silent", "--in", str(kept)), capture_output=True, text=True, check=False
        )
        said, _ = demo.communicate(timeout=DEADLINE_S)
        assert demo.returncode == 0, said
    assert refused.returncode == 1
    assert "no device 'nobody'; there are town-hall-main" in refused.stderr
    check_clean(json.loads(next(line for line in said.splitlines() if line.startswith("{"))))
    export = (sys.executable, "-m", "messnetz", "cloud", "export", str(kept / "collector.yaml"), "--json")
    lines = subprocess.run(export, capture_output=True, text=True, check=True).stdout.splitlines()
    readings = [json.loads(line) for line in lines]
    assert any(r["device"] == "town-hall-main" and r["quantity"] == "frequency" and r["value"] < 0 for r in readings)
    assert not any(r["quantity"] == "frequency" and not 49 < abs(r["value"]) < 51 for r in readings)


@pytest.mark.slow
def test_a_demo_of_several_gateways_with_a_past_accounts_for_all(tmp_path: Path) -> None:
    """Agents with a directory each, and a store that holds a day from before they began."""
    kept = tmp_path / "kept"
    options = ("--gateways", "2", "--devices", "6", "--history", "1d", "--seconds", "5", "--json", "--keep", str(kept))
    demo = run_demo(*options)
    assert demo.returncode == 0, demo.stderr
    account = json.loads(demo.stdout)
    check_clean(account)
    past = re.search(r"history: (\d+) readings confirmed", demo.stderr)
    assert past is not None
    assert account["made"] > int(past[1]) >= 6 * 288 * 13
    assert (kept / "agents" / "gw-002" / "spool.sqlite").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--gateways", "0"),
        ("--devices", "0"),
        ("--history", "0d"),
        ("--history", "soon"),
        ("--interval", "0.1"),
        ("--store", "nonsense"),
        ("--broker", "nonsense"),
        ("--seconds", "0"),
        ("--keep", "."),
        ("--keep", "/" + "x" * 99),
        ("--keep", "/proc/x"),
        ("--keep", "/dev/null/x"),
        ("--svg", "/nope/x.svg"),
    ],
    ids=[
        "no gateway",
        "no device",
        "no time",
        "what is no time",
        "an interval too short",
        "store",
        "broker",
        "seconds",
        "a directory that is not empty",
        "a path too long for a socket",
        "a directory that cannot be made",
        "a directory in a file",
        "a picture in no directory",
    ],
)
def test_options_that_are_wrong_are_refused(options: tuple[str, str]) -> None:
    """Exit code 2, before anything is started."""
    demo = run_demo(*options)
    assert demo.returncode == 2
    assert options[0] in demo.stderr
    assert "internal error" not in demo.stderr
