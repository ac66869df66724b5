"""The pages that people wrote: their links lead somewhere, their commands exist, their files are sound."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import messnetz
from base.errors import ConfigError
from cloud import command as commanding
from cloud import config as collectors
from cloud import town as towns
from gateway import config as gateways

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("edge/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(
    r"^ {4}(?:\$ )?(messnetz [a-z].*)$|^Exec\w+=/usr/local/bin/(messnetz .*)$|`(messnetz [a-z][^`]*)`", re.MULTILINE
)
MOST_IN_A_LIST = 66
"""Characters that a terminal of 80 columns has beside the longest of our names."""
FILE = re.compile(r"^```yaml ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
UNIT = re.compile(r"^```ini (\S+\.service)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    """A page's path, as a test's id."""
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[str]:
    """Every command line of ours that a page shows."""
    return ["".join(found) for found in COMMAND.findall(page.read_text(encoding="utf-8"))]


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """Find the command that a command line names, and what is left of the line."""
    command: click.Command = messnetz.root
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        words = words[sum(isinstance(parameter, click.Argument) for parameter in command.params) :]
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"no command {words[0]!r}"
        command, words = found, words[1:]
    return command, words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file of this repository, and to a heading that it has."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{link}: no such file"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
def test_every_command_exists(page: Path) -> None:
    """With the options that are shown."""
    for line in commands(page):
        command, rest = resolve(shlex.split(line)[1:])
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        used = {word for word in rest if word.startswith("-")}
        assert used <= known, line


def test_the_readme_names_every_command() -> None:
    """At a glance."""
    shown = {" ".join(shlex.split(line)[1:3]) for line in commands(ROOT / "README.md")}
    for name in messnetz.PARTS:
        command, _ = resolve([name])
        for child in command.commands if isinstance(command, click.Group) else ():
            assert f"{name} {child}" in shown
        assert any(line.split()[0] == name for line in shown)


def unpack(page: Path, directory: Path) -> list[Path]:
    """Write every YAML file that a page shows, under the name that it has there."""
    files = []
    for name, text in FILE.findall(page.read_text(encoding="utf-8")):
        assert name, f"{page.name} shows a file without a name: nothing checks it"
        file = directory / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        files.append(file)
    return files


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """The town of docs/technician.md."""
    unpack(ROOT / "docs" / "technician.md", tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_of_a_page_is_decoded_by_who_reads_it(page: Path, tmp_path: Path) -> None:
    """Whoever copies it gets no error: collectors, gateways, towns, who commands; there is no other kind."""
    for file in unpack(page, tmp_path):
        if file.name.startswith("collector"):
            assert collectors.load(file).collector
        elif file.name == "command.yaml":
            commanding.make_key(tmp_path / "command.key")
            assert commanding.load(file).mqtt.tls
        elif file.parent.name == "gateways":
            assert gateways.load(file).file.gateway == file.stem
        else:
            assert file.name in ("town.yaml", "sites.yaml"), f"{file.name}: nothing checks it"
            assert towns.check(tmp_path).devices


def test_the_town_of_the_technicians_page_is_sound(town: Path) -> None:
    """Whoever copies it starts from something that works."""
    found = towns.check(town)
    assert (len(found.gateways), found.devices, found.sites) == (2, 5, 1)
    assert {gateways.load(file).file.gateway for file in found.gateways} == {"school-gw", "plant-gw"}


def test_the_error_of_the_technicians_page_is_the_one_that_appears(town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the column."""
    page = (ROOT / "docs" / "technician.md").read_text(encoding="utf-8")
    file = Path("gateways/school-gw.yaml")
    monkeypatch.chdir(town)
    file.write_text(file.read_text(encoding="utf-8").replace("unit: 1}", "unit: 255}"), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        gateways.load(file)
    assert f"\n    {caught.value}\n" in page


@pytest.mark.parametrize("page", ["technician.md", "city-it.md"])
def test_the_service_of_a_page_reads_its_file_again_and_comes_back(page: str) -> None:
    """On Debian 12, whose systemd (252) does not know `notify-reload`."""
    [(_, unit)] = UNIT.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    lines = set(unit.splitlines())
    assert {"User=messnetz", "Restart=always", "ExecReload=/bin/kill -HUP $MAINPID"} <= lines
    assert "Type=notify-reload" not in lines


def test_every_decision_is_listed() -> None:
    """In order, each once."""
    folder = ROOT / "docs" / "decisions"
    listed = LINK.findall((folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(file.name for file in folder.glob("0*.md"))


def leaves(command: click.Command, name: str = "messnetz") -> Iterator[tuple[str, click.Command]]:
    """Every command below one, itself included where it can be run."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield name, command
    if isinstance(command, click.Group):
        for word in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), word)
            assert child is not None
            yield from leaves(child, f"{name} {word}")


def test_every_command_explains_itself() -> None:
    """A line that the list of commands shows whole, and a sentence for each option."""
    for name, command in leaves(messnetz.root):
        assert not command.get_short_help_str(MOST_IN_A_LIST).endswith("..."), f"{name}: the list cuts its line off"
        for option in command.params:
            if isinstance(option, click.Option):
                assert (option.help or "").strip(), f"{name} {option.opts[0]}: no sentence"


def test_every_command_has_an_example_of_itself() -> None:
    """With options that it has."""
    for name, command in leaves(messnetz.root):
        example = re.search(r"Example:\s(.*)", f"{command.help} {command.epilog}", re.DOTALL)
        assert example, f"{name}: no example"
        line = re.search(r"messnetz (.*(?:\n    +--\w.*)?)", example[1])
        assert line, f"{name}: an example of something else"
        found, rest = resolve(shlex.split(line[1]))
        assert found.name == command.name, name
        known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in rest if word.startswith("-")} <= known, line[1]
