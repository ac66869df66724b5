"""The audit log: every line whole, bounded files, several writers."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from base.audit import AuditLog
from base.errors import PermanentError

if TYPE_CHECKING:
    from pathlib import Path


def _lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_an_entry_is_a_line(tmp_path: Path) -> None:
    """With whatever text there is in it, a half of a character too."""
    log = AuditLog(tmp_path / "logs" / "a.jsonl", max_bytes=10_000, keep=1)
    log.add({"who": "Jörg", "text": "a\nb"})
    log.add({"text": "\ud800"})
    assert _lines(tmp_path / "logs" / "a.jsonl")[0] == {"who": "Jörg", "text": "a\nb"}
    assert (tmp_path / "logs" / "a.jsonl").stat().st_mode & 0o777 == 0o640


def test_full_files_are_set_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    """So much is kept, and no more."""
    log = AuditLog(tmp_path / "a.jsonl", max_bytes=100, keep=2)
    for number in range(50):
        log.add({"number": number})
    files = [tmp_path / name for name in ("a.jsonl.2", "a.jsonl.1", "a.jsonl")]
    numbers = [entry["number"] for file in files for entry in _lines(file)]
    assert numbers == list(range(50 - len(numbers), 50))
    assert len(numbers) > 10
    assert all(file.stat().st_size <= 100 for file in files)
    assert not (tmp_path / "a.jsonl.3").exists()


def test_what_a_power_cut_tore_harms_no_other_line(tmp_path: Path) -> None:
    """The next entry begins a line of its own."""
    file = tmp_path / "a.jsonl"
    file.write_text('{"number": 1}\n{"num')
    AuditLog(file, max_bytes=1000, keep=1).add({"number": 2})
    assert file.read_text().splitlines() == ['{"number": 1}', '{"num', '{"number": 2}']


def test_several_writers_lose_nothing(tmp_path: Path) -> None:
    """Each with a log of its own on the same file, over many rotations."""

    def write(writer: int) -> None:
        log = AuditLog(tmp_path / "a.jsonl", max_bytes=500, keep=100)
        for number in range(20):
            log.add({"writer": writer, "number": number})

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    entries = [
        (entry["writer"], entry["number"])
        for file in tmp_path.glob("a.jsonl*")
        if file.suffix != ".lock"
        for entry in _lines(file)
    ]
    assert sorted(entries) == [(writer, number) for writer in range(4) for number in range(20)]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    """By the file's name."""
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(PermanentError, match=r"a\.jsonl: cannot be written \(Is a directory\)"):
        AuditLog(tmp_path / "a.jsonl", max_bytes=1 << 20, keep=1).add({})
