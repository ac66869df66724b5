"""A town's own copy of a codec repository, and the commands around codecs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import codec_repository
import pytest
from click.testing import CliRunner

from base.errors import ConfigError, PermanentError
from edge.cli import device
from edge.json_values.paths import parse
from edge.lorawan.codec.examples import difference
from edge.lorawan.codec.repository import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a repository."""
    return codec_repository.build(tmp_path / "repository")


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(device, [str(each) for each in arguments], env={"LANG": "C", "LC_ALL": "C"})


def test_a_device_is_found_by_its_words(directory: Path) -> None:
    """Vendor, model and name, whatever the case; what `codec:` wants stands first."""
    result = _run("codecs", "list", directory, "SOIL", "acme")
    assert result.output.split() == ["acme/probe", "Acme", "Soil", "Probe"]
    found = json.loads(_run("codecs", "list", directory, "--json").output)
    assert found == [
        {"model": "acme/bare", "name": "Acme Bare", "codec": None},
        {"model": "acme/probe", "name": "Acme Soil Probe", "codec": "probe-codec"},
    ]


def test_the_codec_is_that_of_the_newest_firmware_in_europe(directory: Path) -> None:
    """A device names one for each firmware and region."""
    assert "moisture" in Repository(directory).source("acme/probe")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("acme/prob", "perhaps acme/probe"),
        ("acne/probe", "perhaps acme"),
        ("acme/bare", "no codec"),
        ("../acme/probe", "no device"),
        ("acme/../acme/probe", "no device"),
        ("acme/away-codec", "../../../outside.js"),
        ("acme/gone-codec", "no readable file"),
        ("acme/broken-codec", "broken YAML"),
    ],
)
def test_what_is_not_there_is_said(directory: Path, model: str, says: str) -> None:
    """With a remedy; no file outside of the repository is ever read."""
    (directory.parent / "outside.js").write_text("function decodeUplink() { return {} }")
    with pytest.raises(ConfigError) as caught:
        Repository(directory).source(model)
    assert says in str(caught.value)


def test_a_link_out_of_the_repository_is_not_followed(directory: Path) -> None:
    """A copy of others' files may hold anything."""
    (directory.parent / "secret.js").write_text("function decodeUplink() { return {} }")
    code = directory / "vendor" / "acme" / "probe.js"
    code.unlink()
    code.symlink_to(directory.parent / "secret.js")
    with pytest.raises(ConfigError, match="leads out of the repository"):
        Repository(directory).source("acme/probe")


def test_links_in_a_circle_are_no_device(directory: Path) -> None:
    """They cost themselves: the other devices are listed and run."""
    (directory / "vendor" / "acme" / "circle.yaml").symlink_to("circle.yaml")
    assert [each.model for each in Repository(directory).devices("probe")] == ["acme/probe"]
    with pytest.raises(ConfigError, match="leads out"):
        Repository(directory).codec_file(directory / "vendor" / "acme" / "circle.yaml")


def test_another_directory_is_no_repository(tmp_path: Path) -> None:
    """Who forgets a level learns what is missing."""
    result = _run("codecs", "list", tmp_path)
    assert isinstance(result.exception, ConfigError)
    assert "no directory 'vendor'" in str(result.exception)


@pytest.mark.slow
def test_all_examples_are_run(directory: Path) -> None:
    """The pass rate and each failure; what loops or cannot be read costs itself alone."""
    result = _run("codecs", "test", directory, "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    counts = {key: said[key] for key in ("codecs", "unreadable", "examples", "passed")}
    assert counts == {"codecs": 5, "unreadable": 3, "examples": 6, "passed": 4}
    failures = {(each["codec"], each["example"]): each["text"] for each in said["failures"]}
    assert failures.keys() == {
        ("acme/away-codec", ""),
        ("acme/broken-codec", ""),
        ("acme/gone-codec", ""),
        ("acme/looping-codec", "uplink: For ever"),
        ("acme/probe-codec", "uplink: A wrong promise"),
    }
    assert failures["acme/probe-codec", "uplink: A wrong promise"] == "data.moisture: 11 is right, 10 was given"
    shown = _run("codecs", "test", directory)
    assert "acme/probe-codec: uplink: A wrong promise: data.moisture: 11 is right, 10 was given" in shown.stdout
    assert "4 of 6 examples are right (66.7 %); 5 codecs, 3 of them not readable" in shown.stdout


@pytest.mark.slow
def test_a_repository_without_failures_leaves_with_0(directory: Path) -> None:
    """So that a script can rely on it."""
    acme = directory / "vendor" / "acme"
    for name in ("looping", "gone", "away", "broken"):
        (acme / f"{name}-codec.yaml").unlink()
    probe = acme / "probe-codec.yaml"
    probe.write_text(probe.read_text().replace("moisture: 11", "moisture: 10"))
    result = _run("codecs", "test", directory)
    assert result.exit_code == 0, result.output
    assert "5 of 5" in result.stdout


@pytest.mark.parametrize(
    ("wanted", "given", "is_same"),
    [
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 0.3}, {"a": 0.1 + 0.2}, True),
        ({"a": None}, {}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": [1, 2]}, {"a": [1, 3]}, False),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({}, {"b": 1}, False),
        ({"a": "1"}, {"a": 1}, False),
    ],
)
def test_what_counts_as_the_same(wanted: object, given: object, *, is_same: bool) -> None:
    """Numbers to nine digits; nothing and null are one."""
    assert (difference(wanted, given, "data") is None) == is_same


@pytest.fixture
def codec(tmp_path: Path) -> Path:
    """Return a codec."""
    file = tmp_path / "codec.js"
    file.write_text(
        "function decodeUplink(input) {"
        " if (input.fPort === 9) return {errors: ['no such port']};"
        " const sum = input.bytes.reduce((a, b) => a + b, 0);"
        " return {data: {sum, nested: [{port: input.fPort}]}, warnings: ['old']}; }"
    )
    return file


@pytest.mark.slow
def test_a_codec_is_run_on_one_message(codec: Path) -> None:
    """For programs as JSON, for people a line for each value, with the path that a profile would name."""
    result = _run("decode", "lorawan-codec", codec, "0102ff", "--fport", 5, "--json")
    assert json.loads(result.stdout) == {"data": {"sum": 258, "nested": [{"port": 5}]}, "warnings": ["old"]}
    shown = _run("decode", "lorawan-codec", codec, "0102ff", "--fport", 5)
    assert shown.stdout.split() == ["sum", "258", "nested[0].port", "5"]
    assert "old" in shown.stderr


@pytest.mark.slow
def test_a_name_with_dots_is_shown_as_a_path_has_it(codec: Path) -> None:
    """What stands on the left can be written into a mapping."""
    codec.write_text("function decodeUplink() { return {data: {'a.b': {c: 1}, d: {'e[0]': 2}, 'f g': 3}}; }")
    shown = [line.split("  ")[0] for line in _run("decode", "lorawan-codec", codec, "01").stdout.splitlines()]
    assert shown == ['["a.b"].c', 'd["e[0]"]', "f g"]
    data = {"a.b": {"c": 1}, "d": {"e[0]": 2}, "f g": 3}
    found = [parse(path) for path in shown]
    assert [path(data) for path in found if path is not None] == [1, 2, 3]


@pytest.mark.slow
def test_a_codec_that_fails_says_why(codec: Path) -> None:
    """In a sentence, with the file."""
    result = _run("decode", "lorawan-codec", codec, "01", "--fport", 9)
    assert isinstance(result.exception, PermanentError)
    assert str(result.exception) == f"{codec}: the codec says: no such port"


@pytest.mark.parametrize("payload", ["0", "xy", "00" * 243])
def test_a_payload_that_is_none(codec: Path, payload: str) -> None:
    """Is refused before anything is started."""
    result = _run("decode", "lorawan-codec", codec, payload)
    assert result.exit_code == 2
    assert "HEX" in result.output


def test_a_codec_that_is_not_there(tmp_path: Path) -> None:
    """Is an error of that file."""
    result = _run("decode", "lorawan-codec", tmp_path / "none.js", "00")
    assert isinstance(result.exception, ConfigError)
