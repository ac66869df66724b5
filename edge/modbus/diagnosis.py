"""Why a line cannot be opened, in words that tell a person on a ladder what to do."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import grp
import os
import socket
from pathlib import Path

from edge.modbus.config import Endpoint, SerialLine


async def why_closed(line: Endpoint | SerialLine, timeout_s: float, took_s: float) -> str:
    """Find out why a line could not be opened a moment ago; `took_s` is how long that took to fail.

    A time-out is not waited for a second time: the other devices of a bus would pay for it.

    Returns: cause and remedy, as the end of a sentence that names the line.
    """
    if isinstance(line, Endpoint):
        if took_s >= timeout_s:
            return _silent(timeout_s)
        return await _why_unreachable(line, timeout_s)
    return await asyncio.to_thread(_why_no_port, line.port)


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


def _why_no_port(port: str) -> str:
    try:
        handle = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        return _why_not_opened(port, error)
    try:
        if not os.isatty(handle):
            return "is no serial port; give the port's own name, best the one under /dev/serial/by-id"
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return "is in use by another program; end that first (an agent: `systemctl stop messnetz`)"
    finally:
        os.close(handle)
    return "cannot be opened, though it is there and free; check that it can be set to this baud rate"


def _why_not_opened(port: str, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return "no such port; check that the adapter is plugged in, and look for it under /dev/serial/by-id"
        case errno.EACCES | errno.EPERM:
            group = _group(port)
            return f"no permission; join its group (`sudo usermod -aG {group} $USER`) and log in again"
        case errno.EISDIR:
            return "is a directory and no serial port; give one of those in it"
        case errno.ENXIO | errno.ENODEV | errno.EIO:
            return "has no device behind it; plug the adapter in again"
        case errno.EBUSY:
            return "is in use by another program; end that first (an agent: `systemctl stop messnetz`)"
    return f"cannot be opened ({error.strerror}); give the name of a serial port"


def _group(port: str) -> str:
    """Name of the group that may open a port; Debian's where it cannot be told."""
    try:
        name = grp.getgrgid(Path(port).stat().st_gid).gr_name
    except (OSError, KeyError):
        return "dialout"
    return "dialout" if name == "root" else name
