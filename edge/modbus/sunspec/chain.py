"""Finds a SunSpec model on a device: scans the base addresses, then walks the chain of models. Pure.

Behind the marker "SunS" stands a chain of models, each with its id and length, until id 0xFFFF. Nothing that a
device says there is trusted: addresses only rise, and after `MOST_MODELS` headers the walk ends.
Source: pysunspec2 1.3.7, modbus/client.py, scan().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from edge.modbus.model import SearchError
from edge.modbus.registers import Request
from edge.modbus.sunspec.definitions import HEADER

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Sequence

BASES = (40000, 50000, 0)
MARKER = [0x5375, 0x6E53]
"""The letters SunS."""
COMMON = 1
"""The model that says who made the device."""
END = 0xFFFF
MOST_MODELS = 100
"""Each costs a request: a bound for one search, far beyond the handful that meters and inverters have."""

Words: TypeAlias = "Sequence[int] | None"


class Block(NamedTuple):
    """One model on a device: the address of its header, and how many registers stand behind the header."""

    model: int
    address: int
    length: int

    @property
    def size(self) -> int:
        """Registers of header and content."""
        return HEADER + self.length


class Found(NamedTuple):
    """A model, and the common model of the device that it belongs to."""

    block: Block
    common: Block | None


def find(code: int, wanted: Collection[int], instance: int) -> Generator[Request, Words, Found]:
    """Search for the `instance`th of the wanted models, counted from 1 in the order of the chain.

    A device that speaks for others (an inverter for its meters) has a common model before each of them.

    Raises: SearchError where there is no SunSpec, or no such model.
    """
    address = yield from _base(code)
    seen: list[int] = []
    matching = 0
    common: Block | None = None
    for _ in range(MOST_MODELS):
        block = yield from _block(code, address)
        if block is None:
            break
        seen.append(block.model)
        if block.model == COMMON:
            common = block
        matching += block.model in wanted
        if matching == instance:
            return Found(block, common)
        address = block.address + block.size
    if not seen:
        raise SearchError("a SunSpec marker, but no model behind it")
    lack = f"only {matching} of" if matching else "none of"
    raise SearchError(f"the SunSpec models {_numbers(seen)}, but {lack} {_numbers(wanted)}")


def _base(code: int) -> Generator[Request, Words, int]:
    for base in BASES:
        words = yield Request(code, base, len(MARKER))
        if words is not None and list(words) == MARKER:
            return base + len(MARKER)
    raise SearchError(f"no SunSpec marker at {_numbers(BASES)}")


def _block(code: int, address: int) -> Generator[Request, Words, Block | None]:
    """Read a header; None at the end of the chain, where some devices have no length and refuse to be asked."""
    if address + HEADER > 65536:
        return None
    words = yield Request(code, address, HEADER)
    if words is None or words[0] in (0, END):
        return None
    return Block(words[0], address, words[1])


def _numbers(numbers: Collection[int]) -> str:
    return ", ".join(map(str, numbers))
