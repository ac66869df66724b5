"""amqtt as a broker of its own process: `python -m simulator.amqtt_broker --port N`.

For machines without mosquitto. It speaks MQTT 3.1.1, keeps nothing, and ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import warnings

import click

from simulator.servers import LOOPBACK


async def serve(port: int) -> None:
    """Serve MQTT on a port of loopback until SIGTERM or SIGINT.

    Raises: amqtt.errors.BrokerError where the port cannot be had.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # amqtt's own imports
        from amqtt.broker import Broker  # type: ignore[import-untyped] # noqa: PLC0415 - with its warnings kept out

        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await broker.start()
    await ended.wait()
    await broker.shutdown()


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), required=True)
def main(port: int) -> None:
    """Run the broker."""
    asyncio.run(serve(port))


if __name__ == "__main__":
    main()
