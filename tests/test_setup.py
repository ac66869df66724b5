"""Set-up on a machine that lacks something: a sentence with the remedy, and nothing left behind.

The scripts run with a PATH of their own that holds what the machine of the story has.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
TOOLS = [
    "sh",
    "echo",
    "env",
    "cat",
    "mktemp",
    "rm",
    "chmod",
    "mkdir",
    "find",
    "touch",
    "dirname",
    "id",
    "sleep",
    "grep",
    "awk",
    "make",
]


class Machine:
    """A PATH, a place for what Debian keeps in /usr/sbin, and a copy of the scripts."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "bin"
        self.sbin = directory / "sbin"
        self.lib = directory / "lib"
        self.tree = directory / "tree"
        for folder in (self.path, self.sbin, self.lib / "x86_64-linux-gnu", self.tree / ".ci", self.tree / "tests"):
            folder.mkdir(parents=True)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None, f"no {tool} here"
            (self.path / tool).symlink_to(found)
        for file in ("Makefile", "pyproject.toml", "constraints.txt", ".ci/environment", "tests/install-services"):
            shutil.copy(ROOT / file, self.tree / file)

    def has(self, program: str, script: str = "exit 0") -> None:
        """Put a program on the machine."""
        file = self.path / program
        file.unlink(missing_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        file.chmod(0o755)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the tree."""
        variables = {
            "PATH": str(self.path),
            "SBIN": str(self.sbin),
            "LIB": str(self.lib),
            "TMPDIR": str(self.tree),
        } | environment
        return subprocess.run(
            command, cwd=self.tree, env=variables, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with a shell, and nothing else."""
    return Machine(tmp_path)


def python(version: str, *, ensurepip: bool = True) -> str:
    """A Python, as far as the set-up asks it."""
    no_pip = "" if ensurepip else "case $* in *ensurepip*) exit 1 ;; esac\n"
    return (
        f"{no_pip}case $* in *version_info*) echo {version} ;;\n"
        '"-m venv"*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;\n'
        '*"pip install"*) echo "$*" >>pip.log ;; esac'
    )


# --- .ci/environment, through make ---


def test_help_needs_nothing_but_make(machine: Machine) -> None:
    """It is what a person tries first, and says what each target does in a line."""
    done = machine.run("make")
    assert done.returncode == 0
    targets = re.findall(r"^make ([a-z]+)  +\S", done.stdout, re.MULTILINE)
    assert targets == ["help", "demo", "test", "quick", "lint", "bench", "chaos", "docs", "constraints", "clean"]


@pytest.mark.parametrize(
    ("program", "script", "sentence"),
    [
        ("other", "", "make: no working 'python3'; install it (Debian: apt-get install python3 python3-venv)"),
        ("python3", "echo 'pyenv: python3: command not found' >&2; exit 127", "make: no working 'python3'; install"),
        ("python3", python("3.10"), "make: 'python3' is Python 3.10 and Messnetz needs 3.11 or newer; name another"),
        ("python3", python("2.7"), "make: 'python3' is Python 2.7 and Messnetz needs 3.11 or newer; name another"),
        ("python3", python("3.11", ensurepip=False), "(Debian: apt-get install python3-venv)"),
    ],
    ids=["no Python", "a pyenv shim without a version", "3.10", "2.7", "no ensurepip"],
)
def test_a_python_that_will_not_do_gets_a_sentence(machine: Machine, program: str, script: str, sentence: str) -> None:
    """With what to do, and without a trace."""
    machine.has(program, script)
    done = machine.run("make", "demo")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (machine.tree / ".venv").exists()


@pytest.fixture
def ready(machine: Machine) -> Machine:
    """A machine with a Python 3.11 whose pip only notes what it is asked."""
    machine.has("cp", f'exec {shutil.which("cp")} "$@"')
    machine.has("python3", python("3.11"))
    return machine


def installed(machine: Machine) -> list[str]:
    """The extras that pip was asked for, in order."""
    log = machine.tree / "pip.log"
    return re.findall(r"\.\[(\w+)\]", log.read_text()) if log.exists() else []


def test_a_second_run_installs_nothing(ready: Machine) -> None:
    """It starts at once."""
    assert "make: making .venv with Python 3.11" in ready.run("make", ".venv/demo").stdout
    assert installed(ready) == ["demo"]
    assert "installing" not in ready.run("make", ".venv/demo").stdout
    assert installed(ready) == ["demo"]


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_what_changed_is_installed_anew(ready: Machine, changed: str) -> None:
    """After a pull, without a step to remember."""
    ready.run("make", ".venv/demo")
    long_ago = (ready.tree / ".venv" / "demo").stat().st_mtime + 5
    subprocess.run(["touch", "-d", f"@{long_ago}", str(ready.tree / changed)], check=True)
    ready.run("make", ".venv/demo")
    assert installed(ready) == ["demo", "demo"]


def test_dev_contains_demo(ready: Machine) -> None:
    """Going from one to the other and back installs each once."""
    for target in (".venv/demo", ".venv/dev", ".venv/demo", ".venv/dev"):
        ready.run("make", target)
    assert installed(ready) == ["demo", "dev"]


def test_only_a_python_that_was_asked_for_replaces_the_environment(ready: Machine) -> None:
    """`make test` after `make test PYTHON=...` stays with that one."""
    ready.has("python3.13", python("3.13"))
    ready.run("make", ".venv/demo")
    assert "with Python 3.13" in ready.run("make", ".venv/demo", "PYTHON=python3.13").stdout
    assert "making" not in ready.run("make", ".venv/demo").stdout
    assert "making" not in ready.run("make", ".venv/demo", "PYTHON=python3.13").stdout
    assert installed(ready) == ["demo", "demo"]


def test_pip_is_told_the_versions_and_no_index(ready: Machine) -> None:
    """Where packages come from is the machine's own matter."""
    ready.run("make", ".venv/dev")
    assert "-c constraints.txt" in (ready.tree / "pip.log").read_text()
    for file in ("Makefile", "constraints.txt", "pyproject.toml", ".ci/environment", ".ci/renew-constraints"):
        assert not re.search(r"index-url|extra-index|find-links|https?://\S*simple", (ROOT / file).read_text())


def test_the_constraints_name_versions_alone() -> None:
    """No addresses, and not the project itself."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)
    assert not any(line.startswith("messnetz") for line in lines)


# --- tests/install-services ---

APT = 'echo "$*" >>apt.log; cat "$SBIN/policy-rc.d" >>policy.log 2>/dev/null || echo none >>policy.log'


def as_root(machine: Machine) -> None:
    """Let the machine believe that its user is root."""
    machine.has("id", "echo 0")
    machine.has("apt-get", APT)


def apt_log(machine: Machine) -> str:
    """What apt-get was asked for."""
    log = machine.tree / "apt.log"
    return log.read_text() if log.exists() else ""


def test_a_machine_that_has_the_servers_is_left_alone(machine: Machine) -> None:
    """Debian keeps mosquitto where a user's PATH does not lead."""
    as_root(machine)
    machine.has("influxd")
    machine.has("openssl")
    machine.has("faketime")
    shutil.move(machine.path / "influxd", machine.sbin / "mosquitto")
    machine.has("influxd")
    (machine.lib / "x86_64-linux-gnu" / "libmodbus.so.5").touch()
    done = machine.run("tests/install-services")
    assert (done.returncode, done.stdout, done.stderr, apt_log(machine)) == (0, "", "", "")


def test_what_is_missing_is_installed_without_its_service(machine: Machine) -> None:
    """A policy-rc.d forbids to start it, for as long as it takes."""
    as_root(machine)
    machine.has("openssl")
    machine.has("faketime")
    done = machine.run("tests/install-services")
    assert done.returncode == 0
    assert (
        done.stdout == "tests: installing Debian's mosquitto influxdb libmodbus5 (their own services are not started)\n"
    )
    assert apt_log(machine).endswith("install mosquitto influxdb libmodbus5\n")
    assert "exit 101" in (machine.tree / "policy.log").read_text()
    assert not (machine.sbin / "policy-rc.d").exists()


def test_a_policy_of_the_machine_stays(machine: Machine) -> None:
    """It is not ours to change."""
    as_root(machine)
    policy = machine.sbin / "policy-rc.d"
    policy.write_text("theirs\n", encoding="utf-8")
    machine.run("tests/install-services")
    assert policy.read_text() == "theirs\n"
    assert (machine.tree / "policy.log").read_text() == "theirs\n"


def test_a_stale_list_of_packages_is_refreshed(machine: Machine) -> None:
    """Only where the installation fails without."""
    as_root(machine)
    machine.has("apt-get", f'{APT}; case $* in *" install "*) [ -e updated ] ;; *) : >updated ;; esac')
    done = machine.run("tests/install-services")
    assert done.returncode == 0
    assert [line.split()[-1] for line in apt_log(machine).splitlines()] == ["libmodbus5", "update", "libmodbus5"]


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_an_installation_that_fails_shows_its_log(machine: Machine, ci: str, code: int) -> None:
    """In CI it is a failure: green tests that were not run say nothing."""
    as_root(machine)
    machine.has("apt-get", "echo E: unable to reach the mirror >&2; exit 100")
    done = machine.run("tests/install-services", CI=ci)
    assert done.returncode == code
    assert "E: unable to reach the mirror" in done.stderr
    assert "could not install mosquitto influxdb openssl faketime libmodbus5" in done.stderr
    assert not (machine.sbin / "policy-rc.d").exists()


def test_an_interrupted_installation_takes_its_policy_along(machine: Machine) -> None:
    """Else no service would ever start again on that machine."""
    as_root(machine)
    machine.has("apt-get", 'cat "$SBIN/policy-rc.d" >policy.log; kill -TERM $PPID')
    done = machine.run("tests/install-services")
    assert done.returncode == 143
    assert "exit 101" in (machine.tree / "policy.log").read_text()
    assert not (machine.sbin / "policy-rc.d").exists()


@pytest.mark.parametrize(
    ("apt", "reason"), [(True, "neither root nor sudo without a password"), (False, "this machine has no apt-get")]
)
def test_who_may_not_install_is_told_what_to_install(machine: Machine, apt: bool, reason: str) -> None:  # noqa: FBT001
    """In one line, and the other tests run."""
    machine.has("id", "echo 1000")
    machine.has("mosquitto")
    if apt:
        machine.has("apt-get", APT)
        machine.has("sudo", "exit 1")
    done = machine.run("tests/install-services")
    lacking = "influxdb openssl faketime libmodbus5"
    said = f"tests: {reason}; tests that need {lacking} will be skipped. To run them: apt-get install {lacking}\n"
    assert (done.returncode, done.stdout, done.stderr, apt_log(machine)) == (0, said, "", "")


def test_sudo_without_a_password_is_used(machine: Machine) -> None:
    """As CI machines have it."""
    as_root(machine)
    machine.has("id", '[ -n "$BY_SUDO" ] && echo 0 || echo 1000')
    machine.has("sudo", 'shift; BY_SUDO=yes exec "$@"; exit 1')
    machine.has("true")
    done = machine.run("tests/install-services")
    assert done.returncode == 0
    assert apt_log(machine).endswith("install mosquitto influxdb openssl faketime libmodbus5\n")
