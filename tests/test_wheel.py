"""The wheel: what is installed works anywhere, finds its data, and needs no more than its extra brings."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PACKAGES = ["base", "wire", "edge", "gateway", "cloud", "simulator"]
GATEWAY, CLOUD, DEMO = {"nacl", "pymodbus", "serial"}, {"influxdb_client", "nacl", "urllib3"}, {"amqtt", "rich"}

IMPORT_ALL = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
count = 0
for package in {packages!r}:
    parent = importlib.import_module(package)
    for module in pkgutil.walk_packages(parent.__path__, package + "."):
        importlib.import_module(module.name)
        count += 1
print(count)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    (file,) = directory.glob("*.whl")
    return file


class Installed:
    """A fresh environment with the wheel, and with the packages that the tests run with."""

    def __init__(self, directory: Path, wheel: Path) -> None:
        self.bin = directory / "venv" / "bin"
        self.elsewhere = directory / "elsewhere"
        self.elsewhere.mkdir()
        self._run(sys.executable, "-m", "venv", "--without-pip", str(directory / "venv"))
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "--disable-pip-version-check"]
        self._run(*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel))
        (self.site_packages,) = (directory / "venv" / "lib").glob("python*/site-packages")
        # a .pth within that folder, such as the one of this very checkout, is not followed
        (self.site_packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.elsewhere, capture_output=True, text=True, check=False, timeout=100, env={"PATH": ""}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def messnetz(self, *arguments: str) -> str:
        """Run the installed command."""
        return self._run(str(self.bin / "messnetz"), *arguments)

    def python(self, code: str) -> str:
        """Run Python code in the environment."""
        return self._run(str(self.bin / "python"), "-c", code)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, installed away from this checkout."""
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


def test_the_wheel_holds_the_packages_and_their_data(wheel: Path) -> None:
    """Every module and every table; no tests, no documentation."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [ROOT / "messnetz.py", *(ROOT / "firmware-config").rglob("*.yaml")]
    for package in PACKAGES:
        files += [file for file in (ROOT / package).rglob("*") if file.suffix in {".py", ".yaml"}]
    wanted = {str(file.relative_to(ROOT)) for file in files}
    assert wanted <= held
    assert {name.partition("/")[0] for name in held} == {"messnetz.py", "firmware-config", *PACKAGES}


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    """Its licence, and the extras that keep gateway and cloud apart."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
        licences = [name for name in archive.namelist() if name.endswith("/LICENSE")]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert licences
    assert {"gateway", "cloud", "deploy", "demo", "dev"} == set(metadata.get_all("Provides-Extra") or ())
    plain = [need for need in metadata.get_all("Requires-Dist") or () if "extra ==" not in need]
    names = {need.partition("~")[0].replace("-", "_") for need in plain}
    assert names == {"click", "msgspec", "paho_mqtt", "pyyaml", "zstandard"}


def test_the_command_runs_anywhere(installed: Installed, wheel: Path) -> None:
    """And knows its version."""
    assert installed.messnetz("--version") == f"messnetz, version {wheel.name.split('-')[1]}\n"
    assert "town" in installed.messnetz("--help")


def test_profiles_and_tables_are_found_in_site_packages(installed: Installed) -> None:
    """Not in the checkout that the wheel was built from."""
    code = (
        "from wire import profile, vocabulary\n"
        "print(profile.PROFILES.resolve())\n"
        "print(vocabulary.HERE)\n"
        "for name in profile.names(): print(profile.load(name).profile)\n"
        "print(len(vocabulary.quantities()))"
    )
    profiles, tables, *names, quantities = installed.python(code).splitlines()
    assert Path(profiles) == installed.site_packages / "firmware-config" / "profiles"
    assert Path(tables) == installed.site_packages / "wire"
    assert {"eastron/sdm630", "janitza/b23"} <= set(names)
    assert int(quantities) > 10


@pytest.mark.parametrize(
    ("packages", "absent"),
    [
        (["base", "wire"], GATEWAY | CLOUD | DEMO),
        (["edge", "gateway"], CLOUD | DEMO),
        (["cloud"], GATEWAY | DEMO),
    ],
    ids=["contract", "gateway", "cloud"],
)
def test_a_part_needs_no_more_than_its_extra_brings(
    packages: list[str], absent: set[str], installed: Installed
) -> None:
    """A gateway has no database client, a cloud no Modbus."""
    assert int(installed.python(IMPORT_ALL.format(packages=packages, absent=absent))) >= 3


def test_the_check_above_can_fail(installed: Installed) -> None:
    """The simulator does need what the demo brings."""
    code = IMPORT_ALL.format(packages=["simulator"], absent=DEMO)
    with pytest.raises(AssertionError, match="ModuleNotFoundError"):
        installed.python(code)


def test_all_parts_of_a_command_are_in_the_wheel(installed: Installed) -> None:
    """Each group of the root loads."""
    for part in ("device", "gateway", "cloud", "town", "demo"):
        assert installed.messnetz(part, "--help").startswith(f"Usage: messnetz {part}")
