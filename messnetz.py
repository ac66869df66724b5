"""The command line: a thin root that loads each part when it is asked for.

`town` lives here, because only this module may import the gateway and the cloud alike. Every error that
reaches `main` leaves as one sentence with an exit code: 2 where the input is wrong, 130 after Ctrl-C, else 1.
"""

from __future__ import annotations

try:
    import os
    import sys
    import traceback
    from dataclasses import dataclass
    from importlib import import_module
    from pathlib import Path
    from typing import TYPE_CHECKING, NoReturn, cast

    import click

    from base.errors import ConfigError, MessnetzError, exit_for
    from base.version import VERSION
except KeyboardInterrupt:  # loading takes a tenth of a second, in which somebody may think better of it
    raise SystemExit(130) from None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wire.town import Sector

DEBUG = "MESSNETZ_DEBUG"
OPTIONAL_MODULES = {
    *("amqtt", "cryptography", "gpiod", "influxdb_client", "nacl", "pymodbus", "pynmea2", "quickjs"),
    *("rich", "serial", "sunspec2", "urllib3"),
}
"""What the extras in pyproject.toml bring; a plain installation has none of them."""
SECTORS = ("traffic", "buildings", "industry", "heat", "climate")
"""As `wire.town` has them; repeated here so that `--help` needs no import."""
MOST_SAID = 50
"""Lines about devices that a command prints; a city that registers its first thousand needs no thousand lines."""


@dataclass(frozen=True)
class Part:
    """A command of the root: where it is found, which extra it needs, and its line in the help."""

    where: str
    """`module:attribute`"""
    extra: str
    help: str

    def load(self) -> click.Command:
        """Import the part."""
        module, _, attribute = self.where.partition(":")
        return cast("click.Command", getattr(import_module(module), attribute))


PARTS = {
    "device": Part("edge.cli:device", "gateway", "Read a device on the bench, or decode what it sent."),
    "gateway": Part("gateway.cli:gateway", "gateway", "Check, run and ask the agent on a gateway."),
    "cloud": Part("cloud.cli:cloud", "cloud", "Run a collector; export and adopt what is stored; command gateways."),
    "town": Part("messnetz:town", "gateway,cloud", "Make and check a town's directory; build its registry."),
    "demo": Part("simulator.cli:demo", "demo", "Run a small town on this machine, from meters to database."),
    "chaos": Part("simulator.chaos.cli:chaos", "demo", "Break the whole way again and again, and count every reading."),
}


class Root(click.Group):
    """Knows its commands by name and line, and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of the table."""
        return list(PARTS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None where there is none of that name."""
        if cmd_name not in PARTS:
            return None
        try:
            return super().get_command(ctx, cmd_name) or PARTS[cmd_name].load()
        except ModuleNotFoundError as error:
            raise _explain(error, cmd_name) from error

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise _explain(error, ctx.invoked_subcommand or "") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, part.help) for name, part in PARTS.items()])


def _explain(error: ModuleNotFoundError, command: str) -> Exception:
    """Turn a module that an extra would have brought into a sentence; leave any other as it is."""
    module = (error.name or "").partition(".")[0]
    if module not in OPTIONAL_MODULES or command not in PARTS:
        return error
    return MessnetzError(
        f"`messnetz {command}` needs {module}, which is not installed; "
        f"install it with: pip install 'messnetz[{PARTS[command].extra}]'"
    )


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="messnetz")
def root() -> None:
    """Carry a town's measurements from its sensors to its people, and lose none on the way."""


def _printable(_context: click.Context, _option: click.Parameter, name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise click.BadParameter("a name that can be read, on one line")
    return name.strip()


@root.group(short_help=PARTS["town"].help)
def town() -> None:
    """Make and check a town's directory; build its registry.

    A town is a directory: town.yaml, sites.yaml, one gateways/<id>.yaml for each gateway, and hosts.yml.
    """


@town.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", default="Musterstadt", show_default=True, callback=_printable, help="The town's name.")
@click.option(
    "--sector",
    "sectors",
    type=click.Choice(SECTORS),
    multiple=True,
    default=["buildings"],
    show_default=True,
    help="One example site each; may be repeated.",
)
def new(directory: Path, name: str, sectors: tuple[str, ...]) -> None:
    """Make the directory of a new town.

    Its files are examples that pass every check, and say what to change first. The directory must be empty, or not
    there yet. The comments are German where the locale is, or MESSNETZ_LANGUAGE=de.

    Example: messnetz town new /srv/town --name Musterstadt --sector buildings --sector heat
    """
    from cloud import town_new, town_texts  # noqa: PLC0415 - loaded when asked for

    files = town_new.make(directory, name, cast("tuple[Sector, ...]", sectors))
    for file in files:
        click.echo(town_texts.MADE.say(file=file))
    click.echo(town_texts.NEXT.say(file=directory / "README.md"))


_directory = click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))


@town.command()
@_directory
def check(directory: Path) -> None:
    """Check every file of a town; opens no port and asks no network.

    Names each file that is wrong, by line and column, and leaves with 2 if there is one.

    Example: messnetz town check /srv/town
    """
    from cloud import town as towns  # noqa: PLC0415 - loaded when asked for
    from gateway import config  # noqa: PLC0415 - loaded when asked for

    errors: dict[Path, ConfigError] = {}
    summary = ""
    try:
        found = towns.check(directory)
        files = list(found.gateways)
        summary = f"{directory}: ok ({len(files)} gateways, {found.devices} devices, {found.sites} sites)"
    except ConfigError as error:
        errors[error.at.file] = error
        files = sorted((directory / "gateways").glob("*.yaml"))
    for file in files:
        try:
            config.load(file)
        except ConfigError as error:
            errors.setdefault(error.at.file, error)
    for wrong in errors.values():
        click.echo(str(wrong), err=True)
    if errors:
        raise SystemExit(2)
    click.echo(summary)


@town.command()
@_directory
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
@click.option("--first", is_flag=True, help="Begin the history; there must be no registry yet.")
@click.option("--force", is_flag=True, help="Also where more than 5 % of the devices are gone.")
@click.option("--backdate", is_flag=True, help="Also where a device that is known changes today or earlier.")
def registry(directory: Path, output: Path, *, first: bool, force: bool, backdate: bool) -> None:
    """Build the collectors' registry from a town, or carry it on.

    What it said of days that have passed, it goes on to say: keep the file, it is the history, and where it is missing
    only `--first` begins a new one. A device that moves needs `since: YYYY-MM-DD`, the day of the change, tomorrow or
    later; a new one counts from today unless that is set.

    Example: messnetz town registry /srv/town --output /etc/messnetz/registry.yaml
    """
    from cloud import town as towns  # noqa: PLC0415 - loaded when asked for

    towns.check_output(output, is_first=first)
    amended = towns.write_registry(directory, output, force=force, backdate=backdate).amended
    for amendment in amended[:MOST_SAID]:
        click.echo(amendment.say())
    if len(amended) > MOST_SAID:
        click.echo(f"... ({len(amended)})")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code, which is what a command returns where that is a number."""
    try:
        result = root.main(arguments, prog_name="messnetz", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:  # who read our output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MessnetzError as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        exit_for(error)
    except Exception as error:  # noqa: BLE001 - the last net: a person gets a sentence, never a trace unasked
        if os.environ.get(DEBUG):
            traceback.print_exc()
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        click.echo(
            f"internal error: {what}, please report; run again with {DEBUG}=1 for the trace",
            err=True,
        )
        return 1
    return result if isinstance(result, int) else 0


def main() -> NoReturn:
    """Run the command line of this process."""
    try:
        code = run()
    except KeyboardInterrupt:  # amid the words about an error
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
