"""The small disk that is filled under an agent's spool."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from lacking import lacking

from simulator.chaos import disk

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def test_it_is_full_to_the_last_byte_and_empty_again(tmp_path: Path) -> None:
    """What a writer meets is ENOSPC; what was on it is left when it is taken away."""
    place = tmp_path / "spool"
    place.mkdir()
    small = disk.mount(place)
    if small is None:
        lacking("only root may mount a tmpfs")
    try:
        (place / "kept").write_text("before")
        small.fill()
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            (place / "more").write_bytes(b"x" * 4096)
        small.empty()
        (place / "more").write_bytes(b"x" * 4096)
    finally:
        small.unmount()
    assert not os.path.ismount(place)
    assert (place / "kept").read_text() == "before"


def test_a_card_fails_and_comes_back_with_what_had_reached_it(tmp_path: Path) -> None:
    """What a writer meets is EIO, at the latest when it syncs; a reader too, where the kernel has to ask the card."""
    place = tmp_path / "spool"
    place.mkdir()
    card = disk.attach(place, tmp_path / "image")
    if card is None:
        lacking("needs root, losetup and mkfs.ext4, to make a disk that fails")
    file = os.open(place / "kept", os.O_RDWR | os.O_CREAT)
    try:
        os.write(file, b"before")
        os.fsync(file)
        card.fail()
        card.forget()
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            os.pread(file, 6, 0)
        os.pwrite(file, b"x" * 4096, 4096)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            os.fsync(file)
        card.mend()
        assert os.pread(file, 6, 0) == b"before"
    finally:
        os.close(file)
        card.unmount()
    assert not os.path.ismount(place)
    assert (place / "kept").read_bytes()[:6] == b"before"


def test_whoever_may_not_mount_gets_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the run says so."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert disk.mount(tmp_path) is None
    assert disk.attach(tmp_path, tmp_path / "image") is None
