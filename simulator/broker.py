"""The demo's broker: Debian's mosquitto where it is installed, else amqtt."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

from simulator.processes import DemoError, Process
from simulator.servers import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Kind: TypeAlias = Literal["mosquitto", "amqtt"]
READY_S = 20.0
LOOK_EVERY_S = 0.05
TRIES = 3
"""A port that was free may be taken before the broker has it."""


def find_mosquitto() -> str | None:
    """Path of mosquitto; Debian puts it where an ordinary user's PATH does not look."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")


def choose(wanted: Kind | None) -> Kind:
    """Which broker to take.

    Raises: DemoError where mosquitto is wanted and not installed.
    """
    if wanted == "mosquitto" and find_mosquitto() is None:
        raise DemoError("mosquitto is not installed; `apt install mosquitto`, or take --broker amqtt")
    return wanted or ("mosquitto" if find_mosquitto() else "amqtt")


@asynccontextmanager
async def serve(kind: Kind, directory: Path) -> AsyncIterator[tuple[Process, int]]:
    """Run a broker on a free port of loopback; yields its process and port when it answers.

    Raises: DemoError where it does not come up.
    """
    for _ in range(TRIES):
        port = free_port()
        async with Process("broker", _command(kind, directory, port), directory / "broker.log") as broker:
            if await _answers(broker, port):
                yield broker, port
                return
    raise DemoError(f"the broker ({kind}) does not come up{broker.last_words()}")


def mqtt_section(kind: Kind, port: int) -> dict[str, object]:
    """The `mqtt` section of whoever is to use this broker."""
    where: dict[str, object] = {"host": LOOPBACK, "port": port}
    # amqtt leaves an MQTT 5 CONNECT with a Last Will unanswered; the time-out would cost 3 s at every start
    return where | {"protocol": "3.1.1"} if kind == "amqtt" else where


def _command(kind: Kind, directory: Path, port: int) -> list[str]:
    if kind == "amqtt":
        return [sys.executable, "-m", "simulator.amqtt_broker", "--port", str(port)]
    settings = directory / "mosquitto.conf"
    lines = [f"listener {port} {LOOPBACK}", "allow_anonymous true", "persistence false", "log_dest stderr"]
    with suppress(KeyError):  # a user without a name is not root, and stays who he is
        # Started by root, mosquitto would become another user, and forget that it is to end with the demo.
        lines.append(f"user {pwd.getpwuid(os.geteuid()).pw_name}")
    settings.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [find_mosquitto() or "mosquitto", "-c", str(settings)]


async def _answers(broker: Process, port: int) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_S):
            while broker.is_running:
                try:
                    _, writer = await asyncio.open_connection(LOOPBACK, port)
                except OSError:
                    await asyncio.sleep(LOOK_EVERY_S)
                    continue
                writer.close()
                return broker.is_running
    return False
