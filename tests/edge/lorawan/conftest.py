"""The second implementation of LoRaWAN, for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lora_packet
import pytest
from lacking import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lora_packet import LoraPacket


@pytest.fixture(scope="session")
def packets() -> Iterator[LoraPacket]:
    """A process that builds and opens frames."""
    message = lora_packet.missing()
    if message is not None:
        lacking(message)
    with lora_packet.LoraPacket() as process:
        yield process
