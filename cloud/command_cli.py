"""`messnetz cloud command` and `messnetz cloud key`: command a gateway, and make the key that it obeys."""

from __future__ import annotations

import functools
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from wire import command as wire_command
from wire import signing
from wire.bounds import MAX_COMMAND_LIFE_MS
from wire.ids import is_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud.command import News

DEFAULT_FILE = Path("/etc/messnetz/command.yaml")
DEFAULT_TIMEOUT_S = 30.0
EXIT_AWAY = 3
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TIME = click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"])
_path = click.Path(path_type=Path, dir_okay=False)


def _seconds(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    """Read a length of time such as `90s`, `30m`, `2h`, `7d`."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None or int(match[1]) == 0:
        raise click.BadParameter(f"{text!r} is no duration; write it as 90s, 30m, 2h or 7d")
    return float(match[1]) * _UNITS[match[2]]


def _life_s(context: click.Context, option: click.Parameter, text: str) -> float | None:
    """Read how long a command is to be valid."""
    seconds = _seconds(context, option, text)
    if seconds is not None and seconds * 1000 > MAX_COMMAND_LIFE_MS:
        raise click.BadParameter(f"a command is valid for {MAX_COMMAND_LIFE_MS // 86_400_000} days at most")
    return seconds


class _CommandGroup(click.Group):
    """Takes FILE and GATEWAY before the command; FILE may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default file before a gateway that comes first."""
        if len(args) > 1 and is_id(args[0]) and args[1] in self.commands:
            args = [str(DEFAULT_FILE), *args]
        return super().parse_args(ctx, args)


class _Target(NamedTuple):
    file: Path
    gateway: str


@click.group(cls=_CommandGroup)
@click.argument("file", type=_path)
@click.argument("gateway")
@click.pass_context
def command(ctx: click.Context, file: Path, gateway: str) -> None:
    """Command a gateway: signed, once, and for now.

    FILE is a command file or a collector's; /etc/messnetz/command.yaml where it is left out. Leaves with 0 when it is
    done, 1 where it was refused or failed, 2 where the input is wrong, 3 where the gateway is away: commands are not
    kept for one that is.

    Example: messnetz cloud command command.yaml school-gw read school-main
    """
    if not is_id(gateway):
        raise click.BadParameter(f"{gateway!r} is no id of a gateway")
    ctx.obj = _Target(file, gateway)


def _options(function: Callable[..., dict[str, object]]) -> Callable[..., int]:
    """Turn a function that builds a command into one that sends it, with the options that all commands have."""

    @click.option("--key", type=_path, help="The private key; as FILE says unless given.")
    @click.option("--audit", type=_path, help="Where to write down who sent what; as FILE says unless given.")
    @click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0.1),
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        help="Seconds to wait for what the gateway says.",
    )
    @click.option(
        "--valid",
        "valid_s",
        metavar="DURATION",
        callback=_life_s,
        default="5m",
        show_default=True,
        help="How long the gateway may take it: 90s, 30m, 2h, 7d at most.",
    )
    @click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object for each thing heard.")
    @click.pass_obj
    @functools.wraps(function)
    def run(target: _Target, /, **options: Any) -> int:  # noqa: ANN401 - whatever click hands over
        own = {name: options.pop(name) for name in ("key", "audit", "timeout_s", "valid_s", "as_json")}
        return _send(target, _action(function(**options)), **own)

    return run


def _action(arguments: dict[str, object]) -> wire_command.Action:
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        action: wire_command.Action = msgspec.convert(given, wire_command.Action)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from error
    return action


def _send(  # noqa: PLR0913 - click's options
    target: _Target,
    action: wire_command.Action,
    *,
    key: Path | None,
    audit: Path | None,
    timeout_s: float,
    valid_s: float,
    as_json: bool,
) -> int:
    from cloud import command as sending  # noqa: PLC0415 - `export` and `--help` need no MQTT

    dialogue = sending.Dialogue(sending.load(target.file, key=key, audit=audit), target.gateway)
    code = 1
    for news in dialogue.send(action, valid_s=valid_s, timeout_s=timeout_s):
        if as_json:
            click.echo(msgspec.json.encode(news))
        else:
            _show(news, is_last=news.state in sending.END)
        code = {"done": 0, "away": EXIT_AWAY}.get(news.state, 1)
    return code


def _show(news: News, *, is_last: bool) -> None:
    """Say what was heard: the outcome to whoever reads our output, what came before it to the terminal alone."""
    click.echo(f"{news.gateway}: {news.state}: {news.text}", err=not is_last or news.state != "done")
    result = news.result or {}
    readings = result.get("readings")
    for reading in readings if isinstance(readings, list) else ():
        name = f"{reading['quantity']}/{reading['channel']}" if reading.get("channel") else reading["quantity"]
        flags = f"  flags {reading['flags']}" if reading.get("flags") else ""
        click.echo(f"  {name:28} {reading['value']:>16} {reading['unit']}{flags}")
    for name, value in result.items() if readings is None else ():
        click.echo(f"  {name}: {value}")


@command.command()
@click.argument("device")
@_options
def read(device: str) -> dict[str, object]:
    """Read a device now, and show what it says.

    Example: messnetz cloud command command.yaml school-gw read school-main
    """
    return {"command": "read", "device": device}


@command.command()
@click.argument("device", required=False)
@click.option("--for", "for_s", metavar="DURATION", callback=_seconds, help="From now on, so long: 30m, 2h, 7d.")
@click.option("--from", "start", type=_TIME, metavar="TIME", help="From that time (UTC); now unless given.")
@click.option("--to", "end", type=_TIME, metavar="TIME", help="Until that time (UTC).")
@click.option("--end", "is_over", is_flag=True, help="It is over.")
@_options
def maintenance(
    device: str | None, *, for_s: float | None, start: datetime | None, end: datetime | None, is_over: bool
) -> dict[str, object]:
    """Mark what a device measures as taken during maintenance.

    Without a device, what the whole gateway measures.

    Example: messnetz cloud command command.yaml school-gw maintenance school-main --for 2h
    """
    if (for_s is not None) + (end is not None) + is_over != 1 or (is_over and start):
        raise click.UsageError("one of --for DURATION, --to TIME and --end")
    from_ms = _ms(start) if start else _now_ms()
    to_ms = from_ms + round((for_s or 0) * 1000) if end is None else _ms(end)
    return {"command": "maintenance", "device": device, "from_ms": from_ms, "to_ms": to_ms}


@command.command()
@click.argument("device")
@click.argument("setting")
@click.argument("value")
@_options
def configure(device: str, setting: str, value: str) -> dict[str, object]:
    """Write a setting into a device.

    One that the device's profile declares.

    Example: messnetz cloud command command.yaml school-gw configure soil-3 interval_min 20
    """
    return {"command": "configure", "device": device, "setting": setting, "value": _value(value)}


def _value(text: str) -> object:
    """A number or true or false where it looks like one, else the text."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return value if isinstance(value, bool | int | float) else text


@command.command()
@click.argument("device")
@click.argument("payload", metavar="HEX")
@click.option("--port", type=click.IntRange(1, 223), help="LoRaWAN's FPort.")
@click.option("--confirmed", is_flag=True, help="Have the device acknowledge it.")
@_options
def downlink(device: str, payload: str, *, port: int | None, confirmed: bool) -> dict[str, object]:
    """Send bytes to a device, as its maker's manual has them.

    Example: messnetz cloud command command.yaml school-gw downlink soil-3 0100a8 --port 2
    """
    return {
        "command": "downlink",
        "device": device,
        "payload": payload.lower(),
        "port": port,
        "confirmed": confirmed,
    }


@command.command()
@_options
def reload() -> dict[str, object]:
    """Have the agent read its configuration anew.

    Example: messnetz cloud command command.yaml school-gw reload
    """
    return {"command": "reload"}


@command.command()
@click.option("--from", "start", required=True, type=_TIME, metavar="TIME", help="That of the backup (UTC).")
@click.option("--to", "end", type=_TIME, metavar="TIME", help="Until that time (UTC); now unless given.")
@_options
def resend(start: datetime, end: datetime | None) -> dict[str, object]:
    """Have the agent send a span once more.

    What was confirmed in it, or measured: for a database that was restored from a backup.

    Example: messnetz cloud command command.yaml school-gw resend --from 2026-11-20
    """
    return {"command": "resend", "from_ms": _ms(start), "to_ms": _ms(end) if end else _now_ms()}


def _ms(moment: datetime) -> int:
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@click.group()
def key() -> None:
    """Make and show the key with which commands are signed."""


@key.command()
@click.argument("file", type=_path)
def new(file: Path) -> None:
    """Make a key, and its public half.

    FILE is for who sends commands (mode 0600), FILE.pub for the gateways.

    Example: messnetz cloud key new command.key
    """
    from cloud import command as sending  # noqa: PLC0415 - loaded when asked for

    public = sending.make_key(file)
    click.echo(f"{file}: the private key; keep it where commands are sent from, and nowhere else", err=True)
    _show_key(public)


@key.command()
@click.argument("file", type=_path)
def show(file: Path) -> None:
    """Show the public half of a key, as a gateway's file wants it.

    Example: messnetz cloud key show command.key
    """
    from cloud import command as sending  # noqa: PLC0415 - loaded when asked for

    _show_key(signing.write_key(signing.public_key(sending.read_private_key(file))))


def _show_key(public: str) -> None:
    click.echo(f"command_key: {public}  # key id {signing.key_id(signing.read_key(public))}")
