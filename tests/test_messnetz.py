"""The root of the command line: quick to help, and never a trace unasked."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

import click
import pytest

import messnetz
from base.errors import ConfigError, PermanentError, Position, TransientError
from base.version import VERSION

import towns

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMMANDS = ["device", "gateway", "cloud", "town", "demo", "chaos"]


def in_a_process(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code in a fresh process."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Put a command `probe` in the root's table that does what a test wants."""

    def put(action: Callable[[], object]) -> None:
        module = ModuleType("probe_module")
        module.__dict__["probe"] = click.Command("probe", callback=action)
        monkeypatch.setitem(sys.modules, "probe_module", module)
        monkeypatch.setitem(messnetz.PARTS, "probe", messnetz.Part("probe_module:probe", "gateway", "A probe."))

    return put


def raiser(error: BaseException) -> Callable[[], NoReturn]:
    """An action that fails."""

    def action() -> NoReturn:
        raise error

    return action


def run(*arguments: str) -> int | str | None:
    """Run a command line; returns its exit code."""
    try:
        return messnetz.run(arguments)
    except SystemExit as left:
        return left.code


def test_help_names_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """On one line each."""
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert re.findall(r"^  ([a-z]+)  +\S", shown.partition("Commands:")[2], re.MULTILINE) == COMMANDS
    for name in COMMANDS:
        assert messnetz.PARTS[name].help in shown


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_no_part(option: str, tmp_path: Path) -> None:
    """They work, and at once, where an extra is not installed."""
    code = (
        f"import sys, messnetz; messnetz.run([{option!r}])\n"
        "heavy = {'edge', 'gateway', 'cloud', 'simulator', *messnetz.OPTIONAL_MODULES}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))"
    )
    assert in_a_process(code, tmp_path).stdout.endswith("imported: []\n")


def test_the_version_is_the_one_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    """There is one, and pyproject.toml takes it from where the program has it."""
    assert PROJECT["dynamic"] == ["version"]
    assert run("--version") == 0
    assert capsys.readouterr().out == f"messnetz, version {VERSION}\n"


@pytest.mark.slow
def test_it_runs_as_a_module(tmp_path: Path) -> None:
    """`python -m messnetz`, its own commands included."""
    command = [sys.executable, "-m", "messnetz", "town", "check", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "town.yaml:1:1: found no readable file" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_of_the_table_exists(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And explains itself."""
    assert run(name, "--help") == 0
    assert capsys.readouterr().out.startswith(f"Usage: messnetz {name}")


@pytest.mark.parametrize("name", ["device", "gateway", "cloud", "town"])
def test_no_command_hides_another(name: str) -> None:
    """A group takes a second command of one name without a word."""
    module, _, attribute = messnetz.PARTS[name].where.partition(":")
    source = inspect.getsource(import_module(module))
    group = messnetz.PARTS[name].load()
    assert isinstance(group, click.Group)
    made = re.findall(rf"^@{attribute}\.(?:command|group)\(", source, re.MULTILINE)
    assert len(group.commands) == len(made) + source.count(f"{attribute}.add_command(")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_names_an_extra_that_exists(name: str) -> None:
    """The remedy for a missing module must work."""
    assert set(messnetz.PARTS[name].extra.split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_optional_modules_are_those_of_the_extras() -> None:
    """A module that an extra brings, and whose absence would not be explained, would look like a fault of ours."""
    extras = PROJECT["optional-dependencies"]
    wanted = [re.split(r"[~>=<\[ ]", line)[0] for extra in ("gateway", "cloud", "demo") for line in extras[extra]]
    modules = {
        "pyserial": "serial",
        "influxdb-client": "influxdb_client",
        "pysunspec2": "sunspec2",
        "pynacl": "nacl",
        "quickjs-ng": "quickjs",
    }
    assert {modules.get(name, name) for name in wanted if name != "messnetz"} == messnetz.OPTIONAL_MODULES


def test_an_unknown_command_is_a_wrong_input(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2."""
    assert run("gatewya") == 2
    assert "No such command 'gatewya'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError(Position(Path("gw.yaml"), 3, 7), "'x'", "y"), 2),
        (TransientError("broker h:1883: refused"), 1),
        (PermanentError("the token is refused"), 1),
    ],
)
def test_an_error_leaves_as_its_own_sentence(
    error: Exception, code: int, command: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing else."""
    command(raiser(error))
    assert run("probe") == code
    assert capsys.readouterr() == ("", f"{error}\n")


@pytest.mark.parametrize(
    ("error", "what"),
    [(ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"), (ValueError(), "ValueError")],
)
def test_a_fault_of_ours_leaves_as_one_sentence(
    error: Exception, what: str, command: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Which says what to do."""
    command(raiser(error))
    assert run("probe") == 1
    said = f"internal error: {what}, please report; run again with MESSNETZ_DEBUG=1 for the trace\n"
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), TransientError("x")])
def test_a_trace_is_shown_to_those_who_ask(
    error: Exception,
    command: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With MESSNETZ_DEBUG=1."""
    monkeypatch.setenv("MESSNETZ_DEBUG", "1")
    command(raiser(error))
    assert run("probe") == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c_is_no_fault(
    error: BaseException, command: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """130, as shells expect, and no trace."""
    command(raiser(error))
    assert run("probe") == 130
    assert capsys.readouterr().err.strip() == ""


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1), (3, 3), ("text", 0)])
def test_a_number_that_a_command_returns_is_its_exit_code(
    result: object, code: int, command: Callable[[Callable[[], object]], None]
) -> None:
    """Nothing, or anything else, is success."""
    command(lambda: result)
    assert run("probe") == code


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_command_may_leave_by_itself(code: int, command: Callable[[Callable[[], object]], None]) -> None:
    """By click's own way."""
    command(raiser(click.exceptions.Exit(code)))
    assert run("probe") == code


def test_a_missing_package_is_named_with_its_extra(
    command: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """While a command runs."""
    command(raiser(ModuleNotFoundError("No module named 'pymodbus.client'", name="pymodbus.client")))
    assert run("probe") == 1
    said = "`messnetz probe` needs pymodbus, which is not installed; install it with: pip install 'messnetz[gateway]'\n"
    assert capsys.readouterr() == ("", said)


def test_a_part_that_cannot_be_loaded_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it is imported."""
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(messnetz.PARTS, "probe", messnetz.Part("rich:x", "demo", "A probe."))
    assert run("probe") == 1
    assert "pip install 'messnetz[demo]'" in capsys.readouterr().err


def test_a_module_of_ours_that_is_missing_is_our_fault(
    command: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """No extra would bring it."""
    command(raiser(ModuleNotFoundError("No module named 'wire.nothing'", name="wire.nothing")))
    assert run("probe") == 1
    assert capsys.readouterr().err.startswith("internal error: ModuleNotFoundError")


@pytest.mark.slow
@pytest.mark.parametrize("output", ["print('x' * 10)", "print('x' * 100_000)", "click.echo('x')"])
def test_a_reader_that_has_read_enough_is_no_fault(output: str, tmp_path: Path) -> None:
    """`messnetz cloud export | head` says nothing."""
    code = (
        "import sys, types, click, messnetz\n"
        "probe = types.ModuleType('probe_module')\n"
        f"probe.probe = click.Command('probe', callback=lambda: {output})\n"
        "sys.modules['probe_module'] = probe\n"
        "messnetz.PARTS['probe'] = messnetz.Part('probe_module:probe', 'demo', '')\n"
        "sys.argv = ['messnetz', 'probe']\n"
        "messnetz.main()"
    )
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(write_end)
    assert done.stderr == ""
    assert done.returncode == 1


def test_a_sound_town_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that a technician sees that all of it was looked at."""
    towns.make(tmp_path / "town")
    assert run("town", "check", str(tmp_path / "town")) == 0
    assert capsys.readouterr().out == f"{tmp_path}/town: ok (2 gateways, 3 devices, 2 sites)\n"


def test_every_file_that_is_wrong_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One visit to the desk, not one for each file."""
    town = towns.make(
        tmp_path / "town",
        sites=towns.SITES.replace("buildings", "building"),
        gateway=towns.GATEWAY.replace("unit: 2", "unit: 255"),
        other=towns.OTHER.replace("plant-gw", "Plant"),
    )
    assert run("town", "check", str(town)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.partition(": found")[0] for line in shown.err.splitlines()] == [
        f"{town}/sites.yaml:1:40",
        f"{town}/gateways/plant-gw.yaml:1:10",
        f"{town}/gateways/school-gw.yaml:9:68",
    ]


def test_a_file_that_is_wrong_for_the_town_and_for_the_gateway_is_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both look at it."""
    town = towns.make(tmp_path / "town", other=towns.OTHER.replace("gateway: plant-gw", "gateway: 5"))
    assert run("town", "check", str(town)) == 2
    assert capsys.readouterr().err.count("plant-gw.yaml:1:10") == 1


def test_a_town_that_is_no_directory_is_a_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, as every wrong input."""
    assert run("town", "check", str(tmp_path / "nowhere")) == 2
    assert "does not exist" in capsys.readouterr().err


def test_the_registry_is_written(tmp_path: Path) -> None:
    """With every device of the town."""
    town = towns.make(tmp_path / "town")
    output = tmp_path / "registry.yaml"
    assert run("town", "registry", str(town), "--output", str(output), "--first") == 0
    assert all(device in output.read_text() for device in ("school-main", "school-gym", "plant-pump"))


def test_a_second_history_is_not_begun_by_a_slip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong name or a deleted file is said, with the option for who means it; that one overwrites nothing."""
    town, output = towns.make(tmp_path / "town"), tmp_path / "registry.yaml"
    command = ("town", "registry", str(town), "--output", str(output))
    assert run(*command) == 2
    assert "found no registry" in (said := capsys.readouterr().err)
    assert "--first" in said
    assert not output.exists()
    assert run(*command, "--first") == 0
    written = output.read_text()
    assert run(*command, "--first") == 2
    assert "found a registry" in capsys.readouterr().err
    assert output.read_text() == written
    assert run(*command) == 0


@pytest.mark.parametrize("module", ["click", "base.errors", "simulator.cli", "simulator.demo", "click.testing"])
def test_ctrl_c_while_modules_load_leaves_no_trace(module: str) -> None:
    """Nothing is said, and 130 is the exit, whichever module is being loaded."""
    program = f"""
import sys

class Interrupted:
    def find_spec(self, name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
import messnetz
if {module!r} == "click.testing":
    messnetz.run = lambda: __import__("click.testing")
sys.argv[1:] = ["demo", "--help"]
messnetz.main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr.strip()) == (130, "")


def test_no_registry_is_written_for_a_broken_town(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Collectors keep the last one that was right."""
    town = towns.make(tmp_path / "town", sites="school: {}\n")
    assert run("town", "registry", str(town), "--output", str(tmp_path / "registry.yaml"), "--first") == 2
    assert "sites.yaml:1:9: found no key 'name'" in capsys.readouterr().err
    assert not (tmp_path / "registry.yaml").exists()
