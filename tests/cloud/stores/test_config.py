from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from base import strict_yaml
from base.errors import ConfigError, PermanentError
from cloud.points import Point, Series
from cloud.stores.config import TOKEN_VARIABLE, StoreConfig, open_store
from cloud.stores.embedded import EmbeddedStore
from cloud.stores.influx1 import Influx1Store
from cloud.stores.influx2 import Influx2Store

if TYPE_CHECKING:
    from pathlib import Path

    from cloud.stores.interface import Store

    from http_doubles import ScriptedServer

INFLUX2 = "influx2: {url: 'http://db:8086', org: town, bucket: messnetz%s}"


def configured(directory: Path, text: str) -> StoreConfig:
    """What stands in a file, checked."""
    file = directory / "store.yaml"
    file.write_text(text)
    return strict_yaml.load(file).convert(StoreConfig)


def opened(directory: Path, text: str) -> Store:
    """The store that a file asks for."""
    return open_store(configured(directory, text), directory)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("embedded: {path: store.sqlite}", EmbeddedStore),
        ("influx1: {url: 'http://db:8086'}", Influx1Store),
        ("influx1: {url: 'https://db/influx', database: town_1}", Influx1Store),
        (INFLUX2 % "", Influx2Store),
    ],
)
def test_a_store_is_made_of_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: type[Store]
) -> None:
    """By the key that stands in the file; nothing is reached for yet."""
    monkeypatch.setenv(TOKEN_VARIABLE, "a-token")

    store = opened(tmp_path, text)

    assert type(store) is kind
    store.close()
    assert [file.name for file in tmp_path.iterdir()] == ["store.yaml"]


def test_the_path_of_a_file_is_relative_to_the_configuration(tmp_path: Path) -> None:
    """Not to wherever the program was started."""
    store = opened(tmp_path, "embedded: {path: data/store.sqlite}")
    store.prepare()
    store.write([Point(Series.of("m"), 1, {"v": 1.0})])
    store.close()

    assert (tmp_path / "data" / "store.sqlite").is_file()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", "exactly one of"),
        ("embedded: {path: a}\ninflux1: {url: 'http://db'}", "exactly one of"),
        ("embedded: {path: ''}", "length"),
        ("embedded: {path: a, file: b}", "unknown key"),
        ("influx1: {url: 'db:8086'}", "pattern"),
        ("influx1: {url: 'http://user:secret@db:8086'}", "pattern"),
        ("influx1: {url: 'http://db', database: 'a/b'}", "pattern"),
        ("influx1: {url: 'http://db', user: collector}", "both of"),
        ("influx1: {url: 'http://db', password_file: f}", "both of"),
        ("influx2: {url: 'http://db', org: town}", "bucket"),
        ("influx2: {url: 'http://db', org: town, bucket: b, token: secret}", "unknown key"),
        ("influx3: {}", "unknown key"),
    ],
)
def test_a_wrong_configuration_is_an_error_with_its_place(tmp_path: Path, text: str, error: str) -> None:
    """At the desk, not at night."""
    with pytest.raises(ConfigError, match=error) as caught:
        configured(tmp_path, text)

    assert caught.value.at.file == tmp_path / "store.yaml"


def test_a_password_comes_from_a_file(tmp_path: Path, scripted: ScriptedServer) -> None:
    """Next to the configuration, for its owner alone; a line feed at its end is none of it."""
    secret = tmp_path / "password"
    secret.write_text("colon: included\n")
    secret.chmod(0o600)
    scripted.answers = [b"HTTP/1.1 204 OK\r\n\r\n"]
    store = opened(tmp_path, f"influx1: {{url: '{scripted.url}', user: me, password_file: password}}")

    store.write([Point(Series.of("m"), 1, {"v": 1.0})])

    assert "authorization: Basic bWU6Y29sb246IGluY2x1ZGVk" in scripted.requests[0][0]
    store.close()


@pytest.mark.parametrize(
    "text", ["influx1: {url: 'http://db', user: me, password_file: secret}", INFLUX2 % ", token_file: secret"]
)
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, text: str) -> None:
    """Mode 0600 or nothing; the same where the file is missing."""
    with pytest.raises(ConfigError, match="no readable file"):
        opened(tmp_path, text)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o640)

    with pytest.raises(ConfigError, match="0640"):
        opened(tmp_path, text)


def test_without_a_token_there_is_no_influx2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a file nor the environment holds one: say both ways."""
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)

    with pytest.raises(PermanentError, match=f"token_file.*{TOKEN_VARIABLE}"):
        opened(tmp_path, INFLUX2 % "")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded store needs none; the others say what to install."""
    for module in ("cloud.stores.influx1", "cloud.stores.http"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "urllib3", None)

    with pytest.raises(PermanentError, match=r"needs urllib3: pip install 'messnetz\[cloud\]'"):
        opened(tmp_path, "influx1: {url: 'http://db:8086'}")
    assert type(opened(tmp_path, "embedded: {path: a}")) is EmbeddedStore
