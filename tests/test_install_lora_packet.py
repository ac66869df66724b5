"""tests/install-lora-packet: once for each user, and a sentence where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "install-lora-packet"
TOOLS = ("sh", "dirname", "cmp", "mkdir", "mktemp", "rm", "cp", "mv", "cat")
WORKS = "mkdir -p node_modules/lora-packet; echo installed >>installed.log"


def _run(directory: Path, npm: str | None, ci: str = "") -> subprocess.CompletedProcess[str]:
    """Run the script on a machine with little more than a shell, and an npm that does what is given."""
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, f"no {tool} here"
        (programs / tool).unlink(missing_ok=True)
        (programs / tool).symlink_to(found)
    for program, script in (("node", ":"), ("npm", npm)) if npm is not None else ():
        (programs / program).write_text(f"#!/bin/sh\n{script}\n")
        (programs / program).chmod(0o755)
    environment = {"PATH": str(programs), "MESSNETZ_TEST_CACHE": str(directory / "cache"), "CI": ci}
    environment |= {"HOME": str(directory), "TMPDIR": os.environ.get("TMPDIR", "/tmp")}  # noqa: S108 - for mktemp
    return subprocess.run([str(SCRIPT)], env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_it_is_installed_once(tmp_path: Path) -> None:
    """The second run finds it there, and is silent."""
    first, second = _run(tmp_path, WORKS), _run(tmp_path, WORKS)
    assert (first.returncode, second.returncode, second.stdout) == (0, 0, "")
    assert (tmp_path / "cache" / "lora-packet" / "installed.log").read_text() == "installed\n"


def test_another_version_is_installed_anew(tmp_path: Path) -> None:
    """The versions are those of package.json."""
    _run(tmp_path, WORKS)
    (tmp_path / "cache" / "lora-packet" / "package.json").write_text("{}")
    _run(tmp_path, WORKS)
    assert (tmp_path / "cache" / "lora-packet" / "installed.log").read_text() == "installed\n" * 2


def test_without_node_it_says_what_is_skipped(tmp_path: Path) -> None:
    """And how to have it; the other tests run."""
    done = _run(tmp_path, None)
    assert (done.returncode, "apt-get install nodejs npm" in done.stdout) == (0, True)


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_a_failure_of_npm_is_shown(tmp_path: Path, ci: str, code: int) -> None:
    """In CI it ends the run; the next run tries again."""
    done = _run(tmp_path, "echo no such registry >&2; exit 1", ci)
    assert (done.returncode, "no such registry" in done.stderr) == (code, True)
    assert _run(tmp_path, WORKS).stdout
