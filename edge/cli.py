"""`messnetz device`: read and decode devices without any configuration."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from base.errors import ConfigError, Position
from edge.modbus import profile as profiles
from edge.modbus.config import Endpoint, SerialLine, SerialSettings, parse_endpoint
from wire import profile as public

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.modbus.profile import Model
    from edge.modbus.transport import Line
    from wire.readings import Reading

_NUMBER = re.compile(r"^(?:0x[0-9a-fA-F]+|[0-9]+)$")


@click.group()
def device() -> None:
    """Read and decode devices."""


@device.command("profiles")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects.")
def list_profiles(*, as_json: bool) -> None:
    """List the profiles that Messnetz brings.

    Example: messnetz device profiles
    """
    found = [public.load(name) for name in public.names()]
    if as_json:
        rows = [{"profile": p.profile, "measurement": p.measurement, "driver": p.driver} for p in found]
        click.echo(json.dumps(rows))
        return
    for profile in found:
        click.echo(f"{profile.profile:24} {profile.driver:8} {profile.label.en}")


@device.command()
@click.argument("profile")
@click.option("--tcp", metavar="HOST:PORT", help="Modbus TCP; the port is 502 unless given.")
@click.option("--serial", metavar="PORT", help="Modbus RTU on a serial port.")
@click.option("--unit", type=click.IntRange(1, 247), default=1, show_default=True, help="Unit id of the device.")
@click.option("--baud-rate", type=click.IntRange(300, 4_000_000), help="The profile's unless given; likewise below.")
@click.option("--parity", type=click.Choice(["N", "E", "O"]))
@click.option("--stop-bits", type=click.Choice(["1", "2"]))
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0.05, 30), default=1.0, show_default=True, help="Seconds."
)
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def read(  # noqa: PLR0913 - one parameter per option
    *,
    profile: str,
    tcp: str | None,
    serial: str | None,
    unit: int,
    baud_rate: int | None,
    parity: Any,  # noqa: ANN401 - click has checked it
    stop_bits: Any,  # noqa: ANN401 - click has checked it
    timeout_s: float,
    as_json: bool,
) -> None:
    """Read a device once and show what it measures.

    Example: messnetz device read eastron/sdm630 --tcp 192.0.2.10:502 --unit 1
    """
    model = profiles.load(profile)
    if (tcp is None) == (serial is None):
        raise click.UsageError("give either --tcp HOST:PORT or --serial PORT")
    if tcp is not None:
        endpoint = parse_endpoint(tcp)
        if endpoint is None:
            raise click.BadParameter(f"{tcp!r} is not HOST or HOST:PORT", param_hint="--tcp")
        line: Line = Endpoint(*endpoint)
    else:
        usual = model.profile.modbus.settings
        line = SerialLine(
            serial or "",
            SerialSettings(baud_rate or usual.baud_rate, parity or usual.parity, int(stop_bits or usual.stop_bits)),  # type: ignore[arg-type]
        )
    measured_at_ms = time.time_ns() // 1_000_000
    readings = asyncio.run(_read_once(line, timeout_s, unit, model))
    _show(readings, {"profile": profile, "unit_id": unit, "measured_at_ms": measured_at_ms}, as_json=as_json)


async def _read_once(line: Line, timeout_s: float, unit: int, model: Model) -> tuple[Reading, ...]:
    from edge.modbus.driver import read_model  # noqa: PLC0415 - pymodbus is loaded when it is first needed
    from edge.modbus.transport import Transport  # noqa: PLC0415

    transport = Transport(line, timeout_s)
    try:
        return await read_model(transport, unit, model)
    finally:
        transport.close()


@device.command()
@click.argument("profile")
@click.option(
    "--registers",
    required=True,
    type=click.Path(path_type=Path),
    help='A JSON object, register address -> 16-bit word: {"0x0034": 17254, "53": 0}.',
)
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def decode(*, profile: str, registers: Path, as_json: bool) -> None:
    """Decode a register dump and show what it means.

    Example: messnetz device decode eastron/sdm630 --registers dump.json
    """
    model = profiles.load(profile)
    _show(model.decode(_read_dump(registers)), {"profile": profile}, as_json=as_json)


def _read_dump(file: Path) -> dict[int, int]:
    expected = 'a JSON object, register address -> 16-bit word, such as {"0x0034": 17254}'
    try:
        dump = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(Position(file), f"no readable file ({error.strerror})", expected) from error
    except json.JSONDecodeError as error:
        raise ConfigError(Position(file, error.lineno, error.colno), f"no JSON ({error.msg})", expected) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(Position(file), "no JSON", expected) from error
    if not isinstance(dump, dict):
        raise ConfigError(Position(file), "no object", expected)
    words: dict[int, int] = {}
    for key, word in dump.items():
        address = int(key, 0) if _NUMBER.match(key) and not (key.startswith("0") and key[1:].isdigit()) else -1
        if not 0 <= address < 65536:
            raise ConfigError(Position(file), f"the address {key!r}", "0 to 65535, decimal or 0x...")
        if not isinstance(word, int) or isinstance(word, bool) or not 0 <= word < 65536:
            raise ConfigError(Position(file), f"{word!r} in register {key}", "a word from 0 to 65535")
        words[address] = word
    return words


def _show(readings: Sequence[Reading], about: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        rows = [{"quantity": r.quantity, "channel": r.channel, "value": r.value, "unit": r.unit} for r in readings]
        click.echo(json.dumps({**about, "readings": rows}))
        return
    for reading in readings:
        click.echo(f"{reading.name:28} {reading.value:>16} {reading.unit}")
