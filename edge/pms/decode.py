"""`messnetz device decode pms`: what a particulate or CO2 sensor said, whoever made it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from base.errors import PermanentError
from base.messages import Text
from edge.given_bytes import read_given
from edge.pms.frames import FAMILIES, Frame, Framer
from edge.pms.sensors import SENSORS

if TYPE_CHECKING:
    from edge.pms.frames import Damaged
    from edge.pms.sensors import Sensor

FRAME = Text(de="{sensor}: {frame}", en="{sensor}: {frame}")
ALSO = Text(de="auch so gebaut: {also} (--sensor)", en="built alike: {also} (--sensor)")
NO_VALUE = Text(de="noch kein Wert", en="no value yet")
ANSWER = Text(de="Antwort auf einen Befehl", en="the answer to a command")
DAMAGED = Text(de="beschädigt: {why}", en="damaged: {why}")


@click.command()
@click.argument("given", metavar="HEX-or-FILE")
@click.option("--sensor", type=click.Choice(sorted(SENSORS)), help="Which it is, where several are built alike.")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects, one for each frame.")
def decode(*, given: str, sensor: str | None, as_json: bool) -> None:
    """Decode frames of a particulate or CO2 sensor and show every value.

    FILE holds the bytes, hexadecimal digits, or a hexdump.

    Example: messnetz device decode pms "aa c0 06 00 06 00 58 d9 3d ab"
    """
    shown = [described(cut, sensor) for cut in cuts_of(read_given(given), sensor)]
    if as_json:
        click.echo(json.dumps(shown))
        return
    for each in shown:
        _show(each)


def cuts_of(data: bytes, sensor: str | None = None) -> list[Frame | Damaged]:
    """Cut bytes into frames, by the way of framing that makes most of them.

    Raises: PermanentError where no frame is in them.
    """
    families = SENSORS[sensor].families if sensor is not None else FAMILIES
    found = [list(Framer(family).feed(data)) for family in families]
    best = max(found, key=lambda cuts: sum(isinstance(cut, Frame) for cut in cuts))
    if not any(isinstance(cut, Frame) for cut in best):
        why = next((cut.why for cuts in found for cut in cuts if not isinstance(cut, Frame)), "nothing that begins one")
        raise PermanentError(f"no frame of a {sensor or 'sensor that is known'} in {len(data)} bytes: {why}")
    return best


def described(cut: Frame | Damaged, sensor: str | None = None) -> dict[str, Any]:
    """Return a frame, or what was damaged, as a JSON object."""
    if not isinstance(cut, Frame):
        return {"error": cut.why}
    able = [each for each in SENSORS.values() if cut.kind in each.layouts and sensor in (None, each.name)]
    frame = (cut.kind + cut.values).hex()
    if not able:
        return {"sensor": None, "frame": frame, "values": None, "answers_command": True}
    try:
        values = able[0].read(cut)
    except KeyError:
        return {"sensor": None, "frame": frame, "values": None, "answers_command": True}
    except ValueError as error:
        return {"sensor": able[0].name, "frame": frame, "error": str(error)}
    return {"sensor": able[0].name, "built_alike": _names(able), "frame": frame, "values": values}


def _names(able: list[Sensor]) -> list[str]:
    return [*able[0].also, *(each.name for each in able[1:])]


def _show(each: dict[str, Any]) -> None:
    if "error" in each:
        click.echo(DAMAGED.say(why=each["error"]))
        return
    if each.get("answers_command"):
        click.echo(FRAME.say(sensor=ANSWER.say(), frame=each["frame"]))
        return
    click.echo(FRAME.say(sensor=each["sensor"], frame=each["frame"]))
    if each["built_alike"]:
        click.echo("  " + ALSO.say(also=", ".join(each["built_alike"])))
    if each["values"] is None:
        click.echo("  " + NO_VALUE.say())
        return
    for name, value in each["values"].items():
        click.echo(f"  {name:8} {value:>10g}")
