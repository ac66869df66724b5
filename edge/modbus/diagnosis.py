"""Why a Modbus line cannot be opened, in words that tell a person on a ladder what to do."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

from edge.modbus.config import Endpoint
from edge.port_diagnosis import why_no_port

if TYPE_CHECKING:
    from edge.modbus.config import SerialLine


async def why_closed(line: Endpoint | SerialLine, timeout_s: float, took_s: float) -> str:
    """Find out why a line could not be opened a moment ago; `took_s` is how long that took to fail.

    A time-out is not waited for a second time: the other devices of a bus would pay for it.

    Returns: cause and remedy, as the end of a sentence that names the line.
    """
    if isinstance(line, Endpoint):
        if took_s >= timeout_s:
            return _silent(timeout_s)
        return await _why_unreachable(line, timeout_s)
    return await asyncio.to_thread(why_no_port, line.port)


async def _why_unreachable(endpoint: Endpoint, timeout_s: float) -> str:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except TimeoutError:
        return _silent(timeout_s)
    except (socket.gaierror, UnicodeError):  # UnicodeError: a part of the name is empty or over 63 characters long
        return f"no host {endpoint.host!r} is known; check how it is written, or give its address in numbers"
    except ConnectionRefusedError:
        return (
            f"{endpoint.host} is there, but refuses port {endpoint.port}; check the port, and that Modbus TCP is"
            " switched on in the device and not taken by another master"
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return f"cannot be reached ({reason}); check the address, and this machine's network"
    writer.close()
    return "cannot be opened, though it can be reached just now; try again"


def _silent(timeout_s: float) -> str:
    return f"no connection in {timeout_s:g} s; check the address, the device's power and network, and firewalls"
