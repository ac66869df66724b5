"""Telegrams in lines of text, by the profiles of D0 and P1, and by a second opinion."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import TelegramParser

from edge.d0 import decode
from edge.d0 import driver as d0
from edge.d0 import profile as d0_profiles
from edge.d0.decoder import PushDecoder
from edge.listening import Said
from edge.obis import Map, Meter, parse, unit_of
from edge.p1 import driver as p1
from edge.p1 import profile as p1_profiles
from edge.p1.bus import SubMeter
from edge.p1.checksum import is_right
from edge.p1.clock import unix_ms
from edge.parameters import check
from wire import profile as public

if TYPE_CHECKING:
    from wire.readings import Reading

CASES = sorted(folder for module in (d0, p1) for folder in (Path(str(module.__file__)).parent / "cases").iterdir())
NAMES = [name for name in public.names() if public.load(name).driver in ("d0", "p1")]
EVERY = pytest.mark.parametrize("folder", CASES, ids=lambda folder: str(folder.name))


def _input(folder: Path) -> dict[str, str]:
    given: dict[str, str] = json.loads((folder / "input.json").read_text())
    return given


def _readings(name: str, data: bytes) -> tuple[Reading, ...] | str:
    """What a profile makes of a telegram; why it is none."""
    if public.load(name).driver == "d0" and d0_profiles.load(name).d0.mode == "read":
        ((ident, said),), _ = decode.decode(data)
        half = d0_profiles.load(name)
        mapping = Map(half.d0.registers, check({}, half.parameters))
        return mapping.readings(said.values, Meter(ident[:3])).readings
    if public.load(name).driver == "p1" and (sub := p1_profiles.load(name)).p1.types:
        meter = SubMeter(p1.SubTarget("sub", 300.0, name, None, {}, sub.p1))
        ((_, said),), _ = decode.decode(data)
        meter.hear(said)
        return meter.take().readings
    if public.load(name).driver == "p1":
        profile = p1_profiles.load(name)
        decoder = PushDecoder("meter", Map(profile.p1.registers, {}), is_right if profile.p1.checksum else None)
    else:
        half = d0_profiles.load(name)
        decoder = PushDecoder("meter", Map(half.d0.registers, check({}, half.parameters)))
    word = [*decoder.feed(data), *decoder.feed(data)][-1]
    return word.readings if isinstance(word, Said) else word.why


@EVERY
def test_case(folder: Path) -> None:
    """A telegram becomes exactly the expected readings, or exactly the expected error."""
    given = _input(folder)
    found = _readings(given["profile"], given["text"].encode())
    expected, error = folder / "expected.json", folder / "error.txt"
    assert expected.exists() != error.exists()
    if error.exists():
        assert found == error.read_text().strip()
        return
    assert not isinstance(found, str), found
    said = [{"quantity": r.quantity, "channel": r.channel, "value": r.value, "unit": r.unit} for r in found]
    assert said == json.loads(expected.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_has_a_case(name: str) -> None:
    """No profile ships without a telegram that was read by it."""
    assert name in {_input(folder)["profile"] for folder in CASES}


def test_what_a_terminal_would_obey_is_not_shown_to_it(tmp_path: Path) -> None:
    """A recorded line may hold anything; the values stay readable."""
    file = tmp_path / "line.txt"
    file.write_bytes(b"/ABC5\x1b[31mred\r\n\r\n1.8.0(000001.5*kWh)\r\n96.1(\x1b]0;x\x07\x08)\r\n!\r\n")
    shown = CliRunner().invoke(decode.command, [str(file)])
    assert shown.exit_code == 0
    assert shown.output.replace("\n", "").isprintable()
    assert "(000001.5*kWh)" in shown.output


RECORDED = {
    "telegram_esy5q3da1004_v304.txt": telegram_specifications.Q3D,
    "telegram_esy5q3db1024_v304.txt": telegram_specifications.Q3D,
    "telegram_v4_2.txt": telegram_specifications.V4,
    "telegram_v5.txt": telegram_specifications.V5,
}
_NUMBER_LINE = re.compile(r"^([^()]+)\((?:[0-9]{12}[SW]\)\()?([0-9.]+)(?:\*(\w+))?\)$")


@pytest.mark.parametrize("name", RECORDED)
def test_every_number_of_the_recorded_telegrams(name: str, shared_data: Path) -> None:
    """Value by value, against the text itself: each line with one number is there, with its unit, and no other is."""
    raw = (shared_data / "d0" / name).read_bytes()
    ((_, said),), errors = decode.decode(raw)
    assert errors == []
    text = raw.decode("latin-1").partition("\n!")[0]
    rows = [found.groups() for line in text.splitlines() if (found := _NUMBER_LINE.match(line.strip()))]
    expected = {
        code.removesuffix("*255"): (Decimal(number), unit or "") for code, number, unit in rows if len(number) < 30
    }
    ours = {f"{medium}:{code}": (value.number, value.unit) for (medium, code), value in said.values.items()}
    assert ours == expected
    assert len(ours) >= 7


@pytest.mark.parametrize("name", RECORDED)
def test_another_parser_finds_the_same_values(name: str, shared_data: Path) -> None:
    """`dsmr_parser`, which the recorded telegrams come from: number, unit and own time."""
    raw = (shared_data / "d0" / name).read_bytes()
    ((_, said),), _ = decode.decode(raw)
    text = raw.decode("latin-1")
    has_checksum = name.startswith("telegram_v")
    text = text if has_checksum else text[: text.index("!") + 1] + "\r\n"
    theirs: dict[str, Any] = TelegramParser(RECORDED[name], apply_checksum_validation=has_checksum).parse(text)
    compared = 0
    for line in said.lines:
        key = parse(line.code)
        value = said.values.get(key) if key else None
        whole = f"{line.code}{''.join(f'({group})' for group in line.groups)}\r\n"
        item: Any = next(
            (item for reference, item in theirs.items() if re.search(reference, whole, re.MULTILINE)), None
        )
        if key is None or value is None or not isinstance(getattr(item, "value", None), (Decimal, int)):
            continue
        assert value.number == item.value, line.code
        assert value.unit == unit_of(item.unit or ""), line.code
        if key in said.timed:
            assert unix_ms(said.timed[key].time) == round(item.datetime.timestamp() * 1000)
        compared += 1
    assert compared >= 5
