"""Runs a collector that dies when it opens one batch: `python odd_collector.py <number> cloud run <file>`."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import messnetz
from wire import batch as wire_batch

if TYPE_CHECKING:
    from wire.batch import Header
    from wire.readings import Sample

POISON = int(sys.argv.pop(1))
open_pack = wire_batch.open_pack


def _open_or_die(header: Header, packed: bytes, **options: float) -> list[Sample]:
    if header.number == POISON:
        os.kill(os.getpid(), signal.SIGKILL)
    return open_pack(header, packed, **options)


if __name__ == "__main__":
    wire_batch.open_pack = _open_or_die
    messnetz.main()
