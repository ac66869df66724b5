"""Checksums of meters and their receivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge import crc16

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(("crc", "check"), [(crc16.arc, 0xBB3D), (crc16.x25, 0x906E), (crc16.kermit, 0x2189)])
def test_each_is_the_one_that_its_name_says(crc: Callable[[bytes], int], check: int) -> None:
    """The check values of the catalogue of parametrised CRC algorithms (reveng)."""
    assert crc(b"123456789") == check
