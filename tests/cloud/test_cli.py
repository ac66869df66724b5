"""`messnetz cloud` on stores that are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import messnetz
from cloud import town

import towns

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

COLLECTOR = "collector: c1\nmqtt: {host: broker.example}\nstore: {embedded: {path: store.sqlite}}\n"


def _collector(tmp_path: Path) -> Path:
    town.write_registry(towns.make(tmp_path / "town"), tmp_path / "registry.yaml")
    file = tmp_path / "collector.yaml"
    file.write_text(COLLECTOR)
    return file


def _run(*command: str) -> int:
    try:
        return messnetz.run(command)
    except SystemExit as end:
        return int(str(end.code))


def test_check_makes_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says that there is none yet, and leaves nothing behind."""
    file = _collector(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert _run("cloud", "check", str(file)) == 0
    assert "store.sqlite: not there yet" in capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == before


def test_export_of_a_store_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped path is no empty town."""
    file = _collector(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert _run("cloud", "export", str(file)) == 1
    assert "store.sqlite: no store; has the collector ever run?" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
