"""`messnetz town new`: what it writes is sound as it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

import pytest
import yaml

import messnetz
from cloud import town, town_new
from wire.town import Sector

if TYPE_CHECKING:
    from pathlib import Path

SECTORS = get_args(Sector)
FILES = {"town.yaml", "sites.yaml", "hosts.yml", "collector.yaml", "README.md"}


def _run(*command: str) -> int:
    try:
        return messnetz.run(command)
    except SystemExit as end:
        return int(str(end.code))


def _new(directory: Path, *sectors: str) -> Path:
    options = [word for sector in sectors for word in ("--sector", sector)]
    assert _run("town", "new", str(directory), "--name", "Bad Übersee: \"Nord\" #1 'x'", *options) == 0
    return directory


def _check(directory: Path) -> None:
    """Run every check that there is; they say what is wrong themselves."""
    built = str(directory / "registry.yaml")
    assert _run("town", "check", str(directory)) == 0
    first = [] if (directory / "registry.yaml").exists() else ["--first"]
    assert _run("town", "registry", str(directory), "--output", built, *first) == 0
    for file in (directory / "gateways").iterdir():
        assert _run("gateway", "check", str(file)) == 0
    assert _run("cloud", "check", "--offline", str(directory / "collector.yaml")) == 0


def test_the_command_knows_every_sector() -> None:
    """And has an example for each."""
    assert set(messnetz.SECTORS) == set(SECTORS) == set(town_new.EXAMPLES)


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("sectors", [(), *((sector,) for sector in SECTORS), SECTORS], ids=" ".join)
def test_a_new_town_passes_every_check(
    sectors: tuple[str, ...], language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, in both languages, with any sectors, and under any name."""
    monkeypatch.setenv("MESSNETZ_LANGUAGE", language)
    directory = _new(tmp_path / "new" / "town", *sectors)
    _check(directory)
    checked = town.check(directory)
    assert (checked.file.name, checked.file.language) == ("Bad Übersee: \"Nord\" #1 'x'", language)
    assert {site.sector for site in checked.site_table.values()} == set(sectors or ["buildings"])
    assert {file.name for file in directory.iterdir() if file.is_file()} == {*FILES, "registry.yaml"}


def test_ids_are_those_of_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Umlauts written out; the gateway's file, its host and its id are one name."""
    monkeypatch.setenv("MESSNETZ_LANGUAGE", "de")
    directory = _new(tmp_path / "town")
    assert list(town.check(directory).site_table) == ["schule-jaegerstrasse"]
    (file,) = (directory / "gateways").iterdir()
    assert file.name == "schule-jaegerstrasse-gw.yaml"
    inventory = yaml.safe_load((directory / "hosts.yml").read_text())
    assert list(inventory["all"]["children"]["gateways"]["hosts"]) == ["schule-jaegerstrasse-gw"]
    assert len(inventory["all"]["children"]["collectors"]["hosts"]) == 1


def test_what_stands_in_comments_is_sound_too(tmp_path: Path) -> None:
    """Whoever takes away a # gets what the comment promises."""
    directory = _new(tmp_path / "town", "heat")
    for file in directory.glob("**/*.yaml"):
        text = file.read_text()
        if "serial:" in text:
            text = re.sub(r"^ +tcp: .*\n", "", text, flags=re.MULTILINE)
        if "embedded:" in text:
            text = re.sub(r"^ +embedded: .*\n", "", text, flags=re.MULTILINE)
        text = re.sub(r"^( *)# ( *[a-z0-9_]+:( [^ ]+)?)$", r"\1\2", text, flags=re.MULTILINE)
        text = text.replace('# influx1: {url: "http', 'influx1: {url: "http')
        prefix = "prefix: bad-uebersee-nord-1-x\n"
        file.write_text(text if prefix in text or file.name == "sites.yaml" else prefix + text)
    _check(directory)
    for known in ("tls:", "serial:", "interval_s:", "since:", "influx1:", "certificate:"):
        lines = [line.strip() for file in directory.glob("**/*.yaml") for line in file.read_text().splitlines()]
        assert any(line.startswith(known) for line in lines), known


@pytest.mark.parametrize("there", ["town.yaml", ".git", "notes.txt"])
def test_a_directory_that_is_not_empty_is_refused(
    there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, and nothing of it is touched."""
    (tmp_path / there).write_text("mine")
    assert _run("town", "new", str(tmp_path)) == 2
    assert "a directory that is not empty" in capsys.readouterr().err
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(there, "mine")]


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    """It may have been made before."""
    _new(tmp_path)
    assert (tmp_path / "town.yaml").is_file()


def test_a_file_that_came_in_the_meantime_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people at once: the second is told."""
    monkeypatch.setattr("pathlib.Path.iterdir", lambda _self: iter(()))
    (tmp_path / "sites.yaml").write_text("mine")
    assert _run("town", "new", str(tmp_path)) == 1
    assert (tmp_path / "sites.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x1b[2J"])
def test_a_name_that_cannot_be_read_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is made."""
    assert _run("town", "new", str(tmp_path / "town"), "--name", name) == 2
    assert "a name that can be read" in capsys.readouterr().err
    assert not (tmp_path / "town").exists()


@pytest.mark.parametrize("name", ["北京", "123", "x" * 300, "-- 'quoted': #1"])
def test_any_other_name_is_taken(name: str, tmp_path: Path) -> None:
    """Also one of which no id can be made."""
    assert _run("town", "new", str(tmp_path / "town"), f"--name={name}") == 0
    assert town.check(tmp_path / "town").file.name == name


def test_the_readme_names_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With commands that work in that directory, and the command says where it lies."""
    directory = _new(tmp_path / "town")
    assert capsys.readouterr().out.endswith(f"What comes next stands in {directory}/README.md.\n")
    text = (directory / "README.md").read_text()
    (gateway,) = (directory / "gateways").iterdir()
    assert f"messnetz gateway check gateways/{gateway.name}" in text
    for command in (
        "town check .",
        "town registry . --output registry.yaml --first",
        "cloud adopt collector.yaml --dry-run",
    ):
        assert f"messnetz {command}\n" in text


@pytest.mark.parametrize("language", ["de", "en"])
def test_every_command_of_the_readme_exists(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked for its help."""
    monkeypatch.setenv("MESSNETZ_LANGUAGE", language)
    text = (_new(tmp_path / "town") / "README.md").read_text()
    commands = re.findall(r"^ {8}messnetz (\w+) (\w+)(.*)$", text, re.MULTILINE)
    assert len(commands) == 9
    for group, command, rest in commands:
        capsys.readouterr()
        assert _run(group, command, "--help") == 0
        shown = capsys.readouterr().out
        assert all(word in shown for word in rest.split() if word.startswith("--"))
