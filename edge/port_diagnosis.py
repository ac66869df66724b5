"""Why a serial port cannot be opened, in words that tell a person on a ladder what to do."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
from pathlib import Path


def why_no_port(port: str) -> str:
    """Find out why a port could not be opened a moment ago.

    Returns: cause and remedy, as the end of a sentence that names the port.
    """
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
