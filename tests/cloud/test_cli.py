"""`messnetz cloud` on stores that are not there."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

import messnetz
from cloud import cli, town

import towns

if TYPE_CHECKING:
    from pathlib import Path


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


def _check(tmp_path: Path, more: str = "", collector: str = "c1") -> int:
    file = _collector(tmp_path)
    file.write_text(COLLECTOR.replace("collector: c1", f"collector: {collector}") + more)
    return _run("cloud", "check", str(file), "--offline")


@pytest.mark.parametrize("taken", ["school-gw", "school-main"])
def test_a_collector_has_an_id_of_its_own(taken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it publishes under a gateway's would be taken for that gateway's."""
    assert _check(tmp_path, collector=taken) == 2
    error = capsys.readouterr().err
    assert "collector.yaml:1:12" in error
    assert f"{taken!r}, which a gateway or a device" in error


@pytest.mark.parametrize("more", ["shared: true\n", "group_file: group\n"])
def test_sharing_needs_a_group(more: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a group is for sharing."""
    assert _check(tmp_path, more) == 2
    assert "group_file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("sound-name", 0o600, None),
        ("sound-name", 0o644, "mode 0644"),
        ("two words", 0o600, "no name of a group"),
        ("a/b", 0o600, "no name of a group"),
        ("", 0o600, "no name of a group"),
    ],
)
def test_the_name_of_a_group_is_a_secret_and_a_level_of_a_topic(
    text: str, mode: int, said: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read from a file of mode 0600, and never shown."""
    file = tmp_path / "group"
    file.write_text(text + "\n")
    file.chmod(mode)
    code = _check(tmp_path, "shared: true\ngroup_file: group\n")
    error = capsys.readouterr().err
    assert (code, error) == (0, "") if said is None else (code == 2 and said in error)
    assert not text or text not in error


@pytest.mark.parametrize("listen", ["9464", "127.0.0.1", "http://127.0.0.1:9464", ":9464"])
def test_where_to_listen_is_a_host_and_a_port(listen: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing else."""
    assert _check(tmp_path, f'listen: "{listen}"\n') == 2
    assert "127.0.0.1:9464" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_that_meets_the_lock_of_the_event_still_ends_the_collector(number: signal.Signals) -> None:
    """The main thread holds it for a moment in each of its waits."""
    stop = threading.Event()
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        cli.stop_on_signals(stop)
        with stop._cond:  # type: ignore[attr-defined] # where a signal may meet the main thread in `wait`
            signal.raise_signal(number)
        assert stop.wait(20)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
