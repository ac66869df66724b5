"""A LoRaWAN site for the tests: the network server, and a concentrator of the simulator."""

from __future__ import annotations

import asyncio
import functools
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec

from lora_packet import Keys

from edge.lorawan import state as states
from edge.lorawan.concentrators import Concentrators
from edge.lorawan.keys import DeviceKeys
from edge.lorawan.network import Member, Network
from edge.lorawan.state import State
from simulator.concentrator import Concentrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from pathlib import Path
    from typing import Any

APP_KEY = "2b7e151628aed2a6abf7158809cf4f3c"
JOINER = "a81758fffe0512ab"
FIXED = "70b3d57ed0051234"
KEYS = Keys("26011bda", "44024241ed4ce9a68c6a8bc055233fd3", "ec925802ae430ca77fd3dd73cb2cc588")
"""Of the device that never joins."""
HOST = "127.0.0.1"
P = ParamSpec("P")


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def device_keys(keys: Keys) -> DeviceKeys:
    """Make a device's keys of those that its frames are built with."""
    nwk_s_key, app_s_key = bytes.fromhex(keys.nwk_s_key), bytes.fromhex(keys.app_s_key)
    return DeviceKeys(dev_addr=int(keys.dev_addr, 16), nwk_s_key=nwk_s_key, app_s_key=app_s_key)


MEMBERS = {
    JOINER: Member(JOINER, DeviceKeys(app_key=bytes.fromhex(APP_KEY))),
    FIXED: Member(FIXED, device_keys(KEYS)),
}


@dataclass
class Site:
    """A network server with one concentrator."""

    network: Network
    state: State
    concentrators: Concentrators
    concentrator: Concentrator
    port: int


@asynccontextmanager
async def run_site(
    file: Path, members: Mapping[str, Member] = MEMBERS, *, is_killed: bool = False, allowed: tuple[str, ...] = ()
) -> AsyncIterator[Site]:
    """Run a site; another one with the same file goes on with what the last one left on disk."""
    state = State(file)
    concentrators = Concentrators("roof", allowed)
    network = Network("roof", state, concentrators)
    network.serve(members)
    concentrators.on_frame = network.frame
    port = await concentrators.open(HOST, 0)
    async with Concentrator(HOST, port) as concentrator:
        if not allowed:
            await concentrator.is_served()
        yield Site(network, state, concentrators, concentrator, port)
    concentrators.close()
    if is_killed:  # who is killed gives nothing back, and remembers nothing
        states._taken.clear()
    else:
        await network.close()
    state.close()
