"""`messnetz gateway check` on what people really write: each error in one line, at its place, exit 2."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

import messnetz
from gateway.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
gateway: town-hall-gw
mqtt: {host: broker.example, tls: {ca: ca.pem, certificate: gw.pem, key: gw.key}}
clock: kernel
spool: {seal_interval_s: 30}
buses:
  - id: hall
    driver: modbus
    tcp: 192.0.2.10
    devices:
      - {id: main, profile: eastron/sdm630, site: town-hall, unit: 1}
  - id: cellar
    driver: modbus
    serial: /dev/ttyUSB0
    devices:
      - {id: kitchen, profile: janitza/b23, site: town-hall, unit: 7, interval_s: 30}
"""


def _check(file: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    try:
        code = messnetz.run(["gateway", "check", str(file), *options])
    except SystemExit as end:
        code = int(str(end.code))
    return code, capsys.readouterr().err


def test_a_good_file_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0, and what is in it."""
    file = tmp_path / "gw.yaml"
    file.write_text(GOOD)
    assert messnetz.run(["gateway", "check", str(file)]) == 0
    assert "2 buses, 2 devices" in capsys.readouterr().out


BROKEN = [
    (
        "gateway: town-hall-gw",
        "gateway: Town Hall",
        "1:10: found 'Town Hall'; expected lower-case letters, digits and hyphens",
    ),
    ("gateway: town-hall-gw", "gateway: 12", "1:10: found 12; expected a text"),
    ("gateway: town-hall-gw\n", "", "1:1: found no key 'gateway'; expected 'gateway' to be set here"),
    ("gateway: town", "gatewy: town", "1:1: found unknown key 'gatewy'"),
    ("host: broker.example, ", "", "2:7: found no key 'host'"),
    (
        "host: broker.example",
        "host: broker.example, port: 99999",
        "2:36: found 99999; expected a whole number <= 65535",
    ),
    ("host: broker.example", "host: broker.example, port: '1883'", "2:36: found '1883'; expected a whole number"),
    ("host: broker.example", "host: broker.example, password: secret", "2:30: found unknown key 'password'"),
    (", key: gw.key", "", "2:35: found no key 'key'"),
    ("host: broker.example", "host: ''", "2:14: found ''; expected the name or address of a host alone, without mqtt"),
    ("host: broker.example", "host: mqtt://broker.example", "2:14: found 'mqtt://broker.example'; expected the name"),
    ("host: broker.example", "host: broker.example:8883", "2:14: found 'broker.example:8883'; expected the name"),
    ("host: broker.example", "host: '[::1]'", "2:14: found '[::1]'; expected the name or address"),
    ("host: broker.example", 'host: "broker.example\\n"', "2:14: found 'broker.example\\n'; expected the name"),
    ("host: broker.example", "host: broker.example, user: gw", "2:7: found a mapping; expected both of 'user' and"),
    ("host: broker.example", "host: b, password_file: secret", "2:7: found a mapping; expected both of 'user' and"),
    ("clock: kernel", "clock: ntp", "3:8: found 'ntp'; expected one of"),
    ("clock: kernel", "since: 2026-13-45", "3:8: found '2026-13-45'; expected a day of the calendar as YYYY-MM-DD"),
    ("unit: 7", "unit: 7, since: 2026-02-29", "15:78: found '2026-02-29'; expected a day of the calendar"),
    ("clock: kernel", f"socket: /run/{'s' * 103}", "3:9: found a path of 108 bytes; expected one of at most 107 bytes"),
    ("clock: kernel", f"socket: /run/{'ü' * 52}", "3:9: found a path of 109 bytes; expected one of at most 107 bytes"),
    ("seal_interval_s: 30", "seal_interval_s: 0", "4:26: found 0; expected a number >= 0.1"),
    ("seal_interval_s: 30", "seal_interval_s: 30s", "4:26: found '30s'; expected a number"),
    ("seal_interval_s: 30", "seal_interval_s: yes", "4:26: found 'yes'; expected a number"),
    (
        "seal_interval_s: 30",
        "seal_interval_s: .inf",
        "4:26: found .inf, which is no finite number; expected a finite number",
    ),
    ("seal_interval_s", "interval", "4:9: found unknown key 'interval'"),
    ("  - id: hall", "  - id: cellar", "11:9: found a second bus 'cellar'; expected an id of its own"),
    ("driver: modbus\n    tcp", "driver: bacnet\n    tcp", "7:13: found 'bacnet'; expected one of: chirpstack"),
    ("    driver: modbus\n    tcp", "    tcp", "6:5: found no key 'driver'"),
    ("tcp: 192.0.2.10", "tcp: http://192.0.2.10", "8:10: found 'http://192.0.2.10'; expected HOST or HOST:PORT"),
    ("tcp: 192.0.2.10", "tcp: 192.0.2.10:0", "8:10: found '192.0.2.10:0'; expected HOST or HOST:PORT"),
    ("    tcp: 192.0.2.10\n", "", "6:5: found no line; expected one of 'tcp', 'rtu_over_tcp' and 'serial'"),
    ("tcp: 192.0.2.10", "tcp: 192.0.2.10\n    serial: /dev/x", "6:5: found 'tcp' and 'serial'; expected one of"),
    ("tcp: 192.0.2.10", "tcp: 192.0.2.10\n    baud_rate: 9600", "9:16: found 'baud_rate' beside 'tcp'"),
    ("serial: /dev/ttyUSB0", "serial: /dev/ttyUSB0\n    parity: even", "14:13: found 'even'; expected one of"),
    (
        "serial: /dev/ttyUSB0",
        "serial: /dev/ttyUSB0\n    baud_rate: 96",
        "14:16: found 96; expected a whole number >= 300",
    ),
    ("profile: janitza/b23", "profile: janitza", "15:32: found 'janitza'; expected maker/model"),
    ("profile: janitza/b23", "profile: janitza/b32", "15:32: found no profile 'janitza/b32'; expected one of"),
    (
        "profile: janitza/b23",
        "profile: messnetz/gateway",
        "15:32: found the profile 'messnetz/gateway', which no bus reads; expected one of: ",
    ),
    ("unit: 7", "unit: 0", "15:68: found 0; expected a whole number >= 1"),
    ("unit: 7", "unit: seven", "15:68: found 'seven'; expected a whole number"),
    ("serial: /dev/ttyUSB0", "tcp: 192.0.2.10:502", "13:10: found '192.0.2.10:502', which bus 'hall' has; expected"),
    ("serial: /dev/ttyUSB0", "rtu_over_tcp: 192.0.2.10", "13:19: found '192.0.2.10:502', which bus 'hall' has"),
    (", unit: 7", "", "15:9: found no key 'unit'"),
    ("id: kitchen", "id: main", "15:14: found 'main', which is a device on bus 'hall'; expected an id of its own"),
    ("unit: 7, interval_s: 30}", "unit: 7, interval_s: 0}", "15:83: found 0; expected a number >= 0.1"),
    ("unit: 7, interval_s: 30}", "unit: 7, interval_s: 30, ct_ratio: 5}", "15:87: found unknown key 'ct_ratio'"),
    (
        "unit: 7, interval_s: 30}",
        "unit: 7, parameters: {ct_ratio: 5}}",
        "15:94: found the unknown parameter 'ct_ratio'",
    ),
    (
        "    devices:\n      - {id: main",
        "    devices: []\n  #   - {id: main",
        "9:14: found a list; expected a list of length >= 1",
    ),
    ("  - id: hall", "\t- id: hall", "6:1: found broken YAML"),
    ("clock: kernel", "clock: kernel\nclock: trusted", "4:1: found key 'clock' a second time (first in line 3)"),
    ("clock: kernel", "clock: !!python/object:os.system kernel", "3:8: found the tag"),
    ("clock: kernel", "clock: &a [*a]", "3:"),
    ("clock: kernel", "<<: {clock: kernel}", "3:1: found a merge (<<)"),
]


@pytest.mark.parametrize(("old", "new", "says"), BROKEN)
def test_a_broken_configuration_is_one_line_and_exit_2(
    old: str, new: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, line and column, what was found, and what would be right."""
    assert old in GOOD
    file = tmp_path / "gw.yaml"
    file.write_text(GOOD.replace(old, new, 1))
    code, error = _check(file, capsys)
    assert code == 2
    assert error.startswith(f"{file}:{says}"), error
    assert "; expected " in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("profile", ["janitza/b32", "messnetz/gateway"])
def test_a_profile_of_another_driver_is_no_choice(
    profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each that is offered is one that this bus takes."""
    file = tmp_path / "gw.yaml"
    file.write_text(GOOD.replace("janitza/b23", profile))
    offered = _check(file, capsys)[1].partition("one of: ")[2].strip().split(", ")
    assert "janitza/b23" in offered
    assert "messnetz/gateway" not in offered


HOSTS = ["broker", "broker.town.example", "192.0.2.1", "2001:db8::1", "::1", "fe80::1%eth0", "br\u00fccke.example"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_is_a_name_or_an_address(host: str, tmp_path: Path) -> None:
    """Of either version of IP."""
    file = tmp_path / "gw.yaml"
    file.write_text(GOOD.replace("host: broker.example", f"host: '{host}'"), encoding="utf-8")
    assert messnetz.run(["gateway", "check", str(file)]) == 0


def test_a_serial_port_carries_one_bus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However its path is written."""
    file = tmp_path / "gw.yaml"
    file.write_text(GOOD.replace("tcp: 192.0.2.10", "serial: /dev/../dev//ttyUSB0"))
    code, error = _check(file, capsys)
    assert (code, error) == (
        2,
        f"{file}:13:13: found '/dev/ttyUSB0', which bus 'hall' has; expected one bus for all devices on one line\n",
    )


def test_here_the_secrets_are_loaded_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last check, on the gateway: each file that is missing or wrong is named; at the desk nobody asks for them."""
    file, secret = tmp_path / "gw.yaml", tmp_path / "secret"
    certificates = "tls: {ca: ca.pem, certificate: gw.pem, key: gw.key}"
    file.write_text(GOOD.replace(certificates, f"user: gw, password_file: {secret}"))
    commanded = f"{GOOD.replace(certificates, 'keepalive_s: 9')}command_key: {tmp_path}/city.pub\n"
    assert messnetz.run(["gateway", "check", str(file)]) == 0
    for make, says in (
        (lambda: None, f"{secret}:1:1: found no readable file"),
        (lambda: secret.touch(0o644), f"{secret}:1:1: found mode 0644; expected mode 0600"),
        (lambda: file.write_text(GOOD), "ca.pem:1:1: found no readable file"),
        (lambda: file.write_text(commanded), f"{tmp_path}/city.pub:1:1: found no readable file"),
    ):
        make()
        code, error = _check(file, capsys, "--here")
        assert code == 2
        assert error.startswith(says)
    file.write_text(GOOD.replace(certificates, f"user: gw, password_file: {secret}"))
    secret.chmod(0o600)
    assert messnetz.run(["gateway", "check", str(file), "--here"]) == 0


KINDS = {
    "empty": b"",
    "blank": b"\n\n   \n",
    "a remark": b"# nothing yet\n",
    "a list": b"- 1\n- 2\n",
    "a text": b"hello\n",
    "a number": b"42\n",
    "binary": bytes(range(256)) * 20,
    "zeros": b"\0" * 5000,
    "latin-1": "gateway: Rathaus-Süd\n".encode("latin-1"),
    "utf-16": GOOD.encode("utf-16"),
    "a million lines": b"a: 1\n" * 1_000_000,
    "many keys": b"".join(b"key%d: 1\n" % n for n in range(60_000)),
    "one long line": b"gateway: " + b"x" * 1_000_000,
    "many devices": GOOD.encode()
    + b"".join(b"      - {id: d%d, profile: janitza/b23, site: s, unit: 300}\n" % n for n in range(12_000)),
    "a bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [" % (n, n) + b",".join([b"*%c" % (n - 1)] * 9) + b"]\n" for n in range(98, 110)),
    "deep": b"a: " + b"[" * 100_000,
    "deep and closed": b"a: " + b"[" * 900 + b"]" * 900,
    "a DevEUI of digits": GOOD.replace("unit: 7", "unit: 0004A30B001C0530").encode(),
    "windows": GOOD.replace("\n", "\r\n").replace("kernel", "ntp").encode(),
    "a tab": b"gateway:\ttown-hall-gw\n\tmqtt: {}\n",
    "unclosed": b"gateway: 'town-hall-gw\nmqtt: {host: a}\n",
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_of_any_kind_gives_a_trace_or_takes_long(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 with one sentence; the bound on time is generous, a quadratic parser would miss it by far."""
    file = tmp_path / "gw.yaml"
    file.write_bytes(KINDS[kind])
    begin = time.process_time()
    code, error = _check(file, capsys)
    assert time.process_time() - begin < 10
    assert code == 2
    assert error.startswith(f"{file}:")
    assert "; expected " in error
    assert len(error) < 1000
    assert "Traceback" not in error
    assert "internal error" not in error


def test_a_directory_or_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no file is named as such."""
    for path in (tmp_path, tmp_path / "missing.yaml"):
        code, error = _check(path, capsys)
        assert code == 2
        assert error.startswith(f"{path}:1:1: found no readable file")


def test_a_fifo_is_no_file_and_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody writes into it."""
    os.mkfifo(tmp_path / "gw.yaml")
    code, error = _check(tmp_path / "gw.yaml", capsys)
    assert code == 2
    assert error.startswith(f"{tmp_path}/gw.yaml:1:1: found no readable file (a FIFO, socket or device); expected a")


def test_a_socket_may_be_as_long_as_the_kernel_takes(tmp_path: Path) -> None:
    """107 bytes."""
    file = tmp_path / "gw.yaml"
    file.write_text(GOOD.replace("clock: kernel", f"socket: /run/{'s' * 102}"))
    assert messnetz.run(["gateway", "check", str(file)]) == 0


def test_check_and_status_speak_german_where_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their sentences; what is wrong is said in English, as everywhere."""
    monkeypatch.setenv("MESSNETZ_LANGUAGE", "de")
    file = tmp_path / "gw.yaml"
    Spool(tmp_path / "spool.sqlite", keep_confirmed_ms=0).close()
    spool = f"spool: {{path: {tmp_path}/spool.sqlite}}\nsocket: {tmp_path}/agent.sock"
    file.write_text(GOOD.replace("spool: {seal_interval_s: 30}", spool))
    assert messnetz.run(["gateway", "check", str(file)]) == 0
    assert capsys.readouterr().out == (
        f"{file}: in Ordnung (town-hall-gw: 2 Busse, 2 Geräte)\n"
        "  Bus hall: 0.3 % seiner Zeit für 1 Gerät\n"
        "  Bus cellar: 0.9 % seiner Zeit für 1 Gerät\n"
    )
    assert messnetz.run(["gateway", "status", str(file)]) == 0
    assert capsys.readouterr().out == (
        "Gateway           town-hall-gw, läuft nicht\n"
        "Versiegelt        0 Messwerte in 0 Paketen, 0 bestätigt, 0 noch nicht versiegelt\n"
    )
    monkeypatch.setenv("MESSNETZ_LANGUAGE", "en")
    assert messnetz.run(["gateway", "status", str(file)]) == 0
    assert capsys.readouterr().out == (
        "Gateway           town-hall-gw, not running\n"
        "Sealed            0 readings in 0 batches, 0 confirmed, 0 not sealed yet\n"
    )
