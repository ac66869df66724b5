"""What holds for every driver of the table."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from base import strict_yaml
from base.errors import ConfigError
from edge import cli, drivers
from wire import profile as profiles

EVERY = pytest.mark.parametrize("name", list(drivers.DRIVERS))
LIBRARIES = (
    *("aiohttp", "cryptography", "gpiod", "loguru", "meterbus", "pms", "pymodbus", "pynmea2", "quickjs", "rich"),
    *("serial", "serialx", "sml", "sunspec2", "typer", "urllib3"),
)
PLAN = """
import sys
from pathlib import Path
from base import strict_yaml
from edge import drivers

document = strict_yaml.load(Path(sys.argv[1]))
for index in range(len(document.value["buses"])):
    plan = drivers.plan_bus(document, ("buses", index))
    assert plan.devices and plan.place.address
print(*sorted(name for name in sys.argv[2:] if name in sys.modules))
"""


def _folder(name: str) -> Path:
    return Path(str(import_module(drivers.DRIVERS[name]).__file__)).parent


@EVERY
@pytest.mark.slow
def test_a_sample_can_be_planned_and_loads_no_library(name: str, tmp_path: Path) -> None:
    """`check` at the desk touches no port; and a gateway pays only for the protocols that it speaks."""
    sample = _folder(name) / "sample.yaml"
    done = subprocess.run(
        (sys.executable, "-c", PLAN, str(sample), *LIBRARIES), capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@EVERY
def test_a_technician_finds_what_a_driver_needs(name: str) -> None:
    """Wiring, settings and traps; and cases of what went wrong once."""
    folder = _folder(name)
    assert len((folder / "README.md").read_text(encoding="utf-8")) > 500
    for case in (folder / "cases").iterdir():
        assert (case / "expected.json").exists() != (case / "error.txt").exists(), case


@EVERY
def test_an_unknown_key_is_refused_where_it_stands(name: str) -> None:
    """A typing error is no setting."""
    text = (_folder(name) / "sample.yaml").read_text(encoding="utf-8")
    document = strict_yaml.parse(text.replace("driver:", "drivel: 1\n    driver:", 1).encode(), Path("gw.yaml"))
    with pytest.raises(ConfigError, match="drivel"):
        drivers.plan_bus(document, ("buses", 0))


def test_every_profile_belongs_to_a_driver_of_the_table() -> None:
    """A profile that nobody reads is none."""
    found = {profiles.load(name).driver for name in profiles.names()}
    assert found <= {*drivers.DRIVERS, "none", "lorawan", "json"}


@pytest.mark.parametrize("name", list(drivers.DECODERS))
def test_a_decoder_has_help_and_refuses_what_is_none(name: str) -> None:
    """One sentence, and no trace."""
    assert CliRunner().invoke(cli.decode, [name, "--help"]).exit_code == 0
    result = CliRunner().invoke(cli.decode, [name, "no such file, and no bytes"])
    assert result.exit_code != 0
    assert result.exception is None or isinstance(result.exception, (SystemExit, ConfigError))


def test_an_unknown_protocol_is_refused_by_name() -> None:
    """Those that there are, are said."""
    result = CliRunner().invoke(cli.decode, ["mobdus"])
    assert result.exit_code == 2
    assert "no protocol 'mobdus'" in result.output
