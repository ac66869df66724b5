"""`messnetz device`: read and decode devices without any configuration."""

from __future__ import annotations

import asyncio
import difflib
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from base.errors import ConfigError, PermanentError, Position
from base.messages import Text
from edge import drivers, parameters
from edge.lorawan.codec.cli import codecs
from edge.modbus import profile as profiles
from edge.modbus.config import Endpoint, SerialLine, SerialSettings, parse_endpoint
from wire import profile as public
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge.interface import Measured
    from edge.modbus.config import Line
    from edge.modbus.model import Compiled
    from wire.profile import Profile
    from wire.readings import Reading

ABOUT = Text(
    de="{label}  (Treiber {driver}, Messung {measurement}, alle {interval_s} s)",
    en="{label}  (driver {driver}, measurement {measurement}, every {interval_s} s)",
)
PARAMETER = Text(de="Parameter {name}: {label}", en="parameter {name}: {label}")
BOUNDS = Text(de="{low} bis {high} {unit}", en="{low} to {high} {unit}")
REQUIRED = Text(de="erforderlich", en="required")
DEFAULT = Text(de="Vorgabe {value}", en="default {value}")
SOURCE = Text(de="Quelle", en="source")
NO_VALUE = Text(de="kein Wert", en="no value")

PROFILE = "MAKER/MODEL"
_ADDRESS = re.compile(r"^(?:(?P<code>[1-4]):)?(?P<address>0x[0-9a-fA-F]{1,4}|[0-9]{1,5})$")


def _known_profile(_context: click.Context, _argument: click.Parameter, name: str) -> str:
    """Refuse a profile that there is not, before a file of that name is looked for."""
    known = public.names()
    if name in known:
        return name
    by_model = {each.partition("/")[2]: each for each in known}
    near = difflib.get_close_matches(name, known, 3) or [
        by_model[model] for model in difflib.get_close_matches(name.rpartition("/")[2], by_model, 3)
    ]
    perhaps = f"perhaps {' or '.join(near)}? " if near else ""
    raise click.BadParameter(f"no profile {name!r}; {perhaps}`messnetz device profiles` lists all")


_profile = click.argument("profile", callback=_known_profile)


@click.group()
def device() -> None:
    """Read a device on the bench, or decode what it sent."""


device.add_command(codecs)


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
        click.echo(f"{profile.profile:24} {profile.driver:8} {profile.label.say()}")


@device.command()
@_profile
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def show(*, profile: str, as_json: bool) -> None:
    """Show what a profile measures and needs to know, and its sources.

    Example: messnetz device show eastron/sdm630
    """
    found = public.load(profile)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo(
        ABOUT.say(
            label=found.label.say(),
            driver=found.driver,
            measurement=found.measurement,
            interval_s=f"{found.interval_s:g}",
        )
    )
    for reading in found.readings:
        quantity = quantities()[reading.partition("/")[0]]
        click.echo(f"  {reading:28} {quantity.unit:8} {quantity.label.say()}")
    for name, parameter in found.parameters.items():
        default = REQUIRED.say() if parameter.default is None else DEFAULT.say(value=f"{parameter.default:g}")
        bounds = BOUNDS.say(low=f"{parameter.minimum:g}", high=f"{parameter.maximum:g}", unit=parameter.unit or "")
        click.echo(f"  {PARAMETER.say(name=name, label=parameter.label.say())} ({bounds.rstrip()}; {default})")
    for caveat in found.caveats:
        click.echo(f"  ! {caveat}")
    for source in found.sources:
        click.echo(f"  {SOURCE.say()}: {source.what}: {source.where} ({source.retrieved})")


_parameters = click.option(
    "--parameter",
    "given",
    multiple=True,
    metavar="NAME=NUMBER",
    help="What the profile leaves to the place; repeatable.",
)


@device.command()
@_profile
@click.option("--tcp", metavar="HOST:PORT", help="Modbus TCP; the port is 502 unless given.")
@click.option("--rtu-over-tcp", metavar="HOST:PORT", help="A serial server that passes RTU frames through.")
@click.option("--serial", metavar="PORT", help="Modbus RTU on a serial port.")
@click.option("--unit", type=click.IntRange(1, 254), default=1, show_default=True, help="Unit id of the device.")
@click.option("--baud-rate", type=click.IntRange(300, 4_000_000), help="The profile's unless given; likewise below.")
@click.option("--parity", type=click.Choice(["N", "E", "O"]), help="None, even or odd.")
@click.option("--stop-bits", type=click.Choice(["1", "2"]), help="One or two.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.05, 30),
    default=1.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@_parameters
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def read(  # noqa: PLR0913 - one parameter per option
    *,
    profile: str,
    tcp: str | None,
    rtu_over_tcp: str | None,
    serial: str | None,
    unit: int,
    baud_rate: int | None,
    parity: Any,  # noqa: ANN401 - click has checked it
    stop_bits: Any,  # noqa: ANN401 - click has checked it
    timeout_s: float,
    given: Sequence[str],
    as_json: bool,
) -> None:
    """Read a device once and show what it measures.

    Example: messnetz device read eastron/sdm630 --tcp 192.0.2.10:502 --unit 1
    """
    loaded = profiles.load(profile)
    model = profiles.compile_model(loaded, _parameter_values(given, loaded))
    if sum(line is not None for line in (tcp, rtu_over_tcp, serial)) != 1:
        raise click.UsageError("give one of --tcp HOST:PORT, --rtu-over-tcp HOST:PORT and --serial PORT")
    usual = loaded.modbus.settings
    settings = SerialSettings(
        baud_rate or usual.baud_rate, parity or usual.parity, 2 if (stop_bits or str(usual.stop_bits)) == "2" else 1
    )
    line: Line = SerialLine(serial, settings) if serial is not None else _endpoint(tcp, rtu_over_tcp)
    identity, measured = asyncio.run(_read_once(line, timeout_s, unit, model))
    measured_at_ms = round((time.time() - time.monotonic() + measured.at_s) * 1000)
    about = {"profile": profile, "unit_id": unit, "measured_at_ms": measured_at_ms, "identity": identity}
    _show(loaded, measured.readings, measured.without_value, about, as_json=as_json)


def _endpoint(tcp: str | None, rtu_over_tcp: str | None) -> Endpoint:
    option, text = ("--tcp", tcp) if tcp is not None else ("--rtu-over-tcp", rtu_over_tcp or "")
    endpoint = parse_endpoint(text, is_rtu=tcp is None)
    if endpoint is None:
        raise click.BadParameter(f"{text!r} is not HOST or HOST:PORT", param_hint=option)
    return endpoint


def _parameter_values(given: Sequence[str], profile: Profile) -> dict[str, float]:
    """Read NAME=NUMBER options against what a profile declares."""
    values: dict[str, float] = {}
    for item in given:
        name, _, text = item.partition("=")
        try:
            values[name] = float(text)
        except ValueError as error:
            raise click.BadParameter(f"{item!r} is not NAME=NUMBER", param_hint="--parameter") from error
    try:
        return parameters.check(values, profile.parameters)
    except parameters.ParameterError as error:
        raise click.BadParameter(f"{error.found}; expected {error.expected}", param_hint="--parameter") from error


async def _read_once(line: Line, timeout_s: float, unit: int, model: Compiled) -> tuple[dict[str, str], Measured]:
    from edge.modbus.reader import DeviceReader  # noqa: PLC0415 - pymodbus is loaded when it is first needed
    from edge.modbus.transport import Transport  # noqa: PLC0415

    reader, transport = DeviceReader(f"unit {unit}", unit, model), Transport(line, timeout_s)
    try:
        return await reader.identify(transport), await reader.read(transport)
    finally:
        transport.close()


class _Decode(click.Group):
    """`decode NAME ...` for what a protocol carries, `decode MAKER/MODEL ...` for registers of a profile."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of the protocols, then what stands for all profiles."""
        return [*drivers.DECODERS, PROFILE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Load the command of a protocol, or the one for all profiles."""
        if "/" in cmd_name:
            return registers_of
        return drivers.load_decoder(cmd_name) if cmd_name in drivers.DECODERS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take what is no protocol as the name of a profile, which may stand behind its options."""
        if args[0] in drivers.DECODERS:
            return super().resolve_command(ctx, args)
        if not any("/" in arg or arg.startswith("--registers") for arg in args):
            near = difflib.get_close_matches(args[0], drivers.DECODERS, 1)
            perhaps = f"perhaps {near[0]}? " if near else ""
            raise click.UsageError(f"no protocol {args[0]!r}; {perhaps}one of {', '.join(drivers.DECODERS)}", ctx)
        return PROFILE, registers_of, args


@device.group(cls=_Decode, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def decode() -> None:
    """Decode what a device sent: bytes of a protocol, or the registers of a profile.

    Example: messnetz device decode mbus 680303685300AA...16 --json
    """


@click.command(
    PROFILE,
    short_help="Decode a register dump by the profile of that name.",
    epilog="""\b
Example:
  echo '{"0x0034": 17254, "53": 0}' > dump.json
  messnetz device decode eastron/sdm630 --registers dump.json""",
)
@_profile
@click.option(
    "--registers",
    required=True,
    type=click.Path(path_type=Path),
    help='A JSON object, register address -> 16-bit word: {"0x0034": 17254, "53": 0}.',
)
@_parameters
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def registers_of(*, profile: str, registers: Path, given: Sequence[str], as_json: bool) -> None:
    """Decode a register dump and show what it means.

    Addresses count from 0, decimal or hexadecimal; where a profile reads by more than one function code, those of
    another code are written CODE:ADDRESS.

    Readings that the dump lacks registers for are named, and left out; with none at all the exit code is 2.
    """
    loaded = profiles.load(profile)
    model = profiles.compile_model(loaded, _parameter_values(given, loaded))
    words = _read_dump(registers, loaded.modbus.function_code)
    try:
        decoded = profiles.decode_dump(model, words)
    except PermanentError as error:
        raise ConfigError(Position(registers), str(error), "a dump of such a device") from error
    if decoded.missing and not decoded.readings and not decoded.without_value:
        name, lacks = next(iter(decoded.missing.items()))
        raise ConfigError(Position(registers), f"no {lacks}, nor those of any other reading", f"such as {name} needs")
    for name, lacks in decoded.missing.items():
        click.echo(f"{registers}: no {name}, for it lacks {lacks}", err=True)
    about = {"profile": profile, "missing": list(decoded.missing)}
    _show(loaded, decoded.readings, decoded.without_value, about, as_json=as_json)


def _read_dump(file: Path, function_code: int) -> dict[tuple[int, int], int]:
    expected = 'a JSON object, register address -> 16-bit word, such as {"0x0034": 17254}'
    try:
        dump = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(Position(file), f"no readable file ({error.strerror})", expected) from error
    except json.JSONDecodeError as error:
        raise ConfigError(Position(file, error.lineno, error.colno), f"no JSON ({error.msg})", expected) from error
    except (ValueError, RecursionError) as error:  # no UTF-8, or a number of thousands of digits
        raise ConfigError(Position(file), "no JSON", expected) from error
    if not isinstance(dump, dict):
        raise ConfigError(Position(file), "no object", expected)
    words: dict[tuple[int, int], int] = {}
    for key, word in dump.items():
        match = _ADDRESS.match(key)
        address = int(match["address"], 16 if "x" in match["address"] else 10) if match else -1
        if match is None or not 0 <= address < 65536:
            raise ConfigError(Position(file), f"the address {key!r}", "0 to 65535, decimal or 0x...")
        if not isinstance(word, int) or isinstance(word, bool) or not 0 <= word < 65536:
            raise ConfigError(Position(file), f"{word!r} in register {key}", "a word from 0 to 65535")
        where = int(match["code"] or function_code), address
        if where in words:
            raise ConfigError(Position(file), f"register {address} a second time", "each register once")
        words[where] = word
    return words


def _show(
    profile: Profile,
    readings: Sequence[Reading],
    without_value: Sequence[str],
    about: Mapping[str, object],
    *,
    as_json: bool,
) -> None:
    if as_json:
        rows = [{"quantity": r.quantity, "channel": r.channel, "value": r.value, "unit": r.unit} for r in readings]
        click.echo(json.dumps({**about, "readings": rows, "without_value": list(without_value)}))
        return
    identity = about.get("identity")
    for name, value in identity.items() if isinstance(identity, dict) else ():
        click.echo(f"{name:28} {value}")
    shown = {reading.name: f"{reading.value:>16} {reading.unit:8}" for reading in readings}
    shown |= dict.fromkeys(without_value, f"{NO_VALUE.say():>16} {'':8}")
    for name in profile.readings:
        if name in shown:
            click.echo(f"{name:28} {shown[name]} {quantities()[name.partition('/')[0]].label.say()}")
