"""Secrets: from files that nobody else can read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from base.errors import ConfigError
from base.secrets import MOST_CHARACTERS, read_secret

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A password file as it should be."""
    file = tmp_path / "password"
    file.write_text("pass word\n", encoding="utf-8")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_is_read_without_its_line_end(file: Path, mode: int) -> None:
    """Editors write one."""
    file.chmod(mode)
    assert read_secret(file) == "pass word"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_file_that_others_can_use_is_refused_with_the_remedy(file: Path, mode: int) -> None:
    """A secret that others can read is none; one that others can write is theirs."""
    file.chmod(mode)
    with pytest.raises(ConfigError, match=rf"password:1:1: found mode {mode:04o}; expected mode 0600 \(chmod 600\)"):
        read_secret(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """By its path."""
    with pytest.raises(ConfigError, match=r"nowhere:1:1: found no readable file \(.*No such file"):
        read_secret(tmp_path / "nowhere")


def test_what_is_missing_is_called_what_it_is(tmp_path: Path) -> None:
    """Not every secret is a password."""
    with pytest.raises(ConfigError, match=r"; expected a file that holds the private key$"):
        read_secret(tmp_path / "key", "the private key")


def test_the_secret_is_never_in_the_error(file: Path) -> None:
    """Errors go into logs."""
    file.write_bytes(b"geheim\xff")
    with pytest.raises(ConfigError) as caught:
        read_secret(file)
    assert "geheim" not in str(caught.value)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """Nobody may ever write into it."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="found no plain file; expected a file that holds the password"):
        read_secret(tmp_path / "pipe")


def test_a_file_that_is_far_too_long_is_none(file: Path) -> None:
    """Somebody named the wrong one; it is not read to its end."""
    file.write_text("x" * (MOST_CHARACTERS + 1))
    with pytest.raises(ConfigError, match="found more than 1048576 characters"):
        read_secret(file)
