"""`messnetz device decode lorawan-codec`: run any TS013 codec on one message, without configuration."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from base.errors import ConfigError, PermanentError, Position
from base.messages import Text
from edge.given_bytes import read_given
from edge.lorawan.codec.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.lorawan.codec.result import Decoded

WARNING = Text(de="Warnung", en="warning")
MAX_PAYLOAD = 242
MAX_CODEC_BYTES = 1 << 20


@click.command("lorawan-codec")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("given", metavar="HEX-or-FILE")
@click.option(
    "--fport", "f_port", type=click.IntRange(1, 223), default=1, show_default=True, help="The message's port."
)
@click.option("--downlink", is_flag=True, help="The message goes to the device: decodeDownlink.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def decode(*, file: Path, given: str, f_port: int, downlink: bool, as_json: bool) -> None:
    """Run a LoRaWAN codec on one message.

    The codec is JavaScript (decodeUplink, Decode or Decoder), limited as on the gateway.

    Example: messnetz device decode lorawan-codec decoder.js 0100e20229 --fport 5 --json
    """
    payload = read_given(given) if given else b""
    if len(payload) > MAX_PAYLOAD:
        raise click.BadParameter(f"at most {MAX_PAYLOAD} octets: no LoRaWAN message is longer", param_hint="HEX")
    source = read_codec(file)
    try:
        decoded = asyncio.run(_run(source, f_port, payload, downlink=downlink))
    except CodecError as error:
        raise PermanentError(f"{file}: the codec {error}") from error
    if as_json:
        click.echo(json.dumps({"data": decoded.data, "warnings": list(decoded.warnings)}, ensure_ascii=False))
        return
    for name, value in _rows(decoded.data):
        click.echo(f"{name:40} {value}")
    for warning in decoded.warnings:
        click.echo(f"{WARNING.say()}: {warning}", err=True)


def read_codec(file: Path) -> str:
    """Read a codec.

    Raises: ConfigError where it cannot be read, is no text, or is over 1 MiB.
    """
    try:
        if file.exists() and not file.is_file():
            raise ConfigError(Position(file), "no file", "a codec in JavaScript")
        with file.open("rb") as handle:
            data = handle.read(MAX_CODEC_BYTES + 1)
    except OSError as error:
        raise ConfigError(Position(file), f"no readable file ({error.strerror})", "a codec in JavaScript") from error
    if len(data) > MAX_CODEC_BYTES:
        raise ConfigError(Position(file), "a file of over 1 MiB", "one that is far smaller")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(Position(file), "what is no UTF-8", "a UTF-8 text file") from error


async def _run(source: str, f_port: int, payload: bytes, *, downlink: bool) -> Decoded:
    from edge.lorawan.codec.codecs import Codecs  # noqa: PLC0415 - for who decodes alone

    codecs = Codecs()
    try:
        if downlink:
            return await codecs.decode_downlink("device", source, f_port, payload)
        return await codecs.decode("device", source, f_port, payload, round(time.time() * 1000))
    finally:
        await codecs.close()


def _rows(value: Any, name: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - values of JSON
    """Write nested values a line each, by their paths as a profile writes them."""
    if isinstance(value, dict):
        for key, child in value.items():
            step = f'["{key}"]' if set(key) & set(".[]=,") else f".{key}" if name else key
            yield from _rows(child, f"{name}{step}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _rows(child, f"{name}[{index}]")
    else:
        yield name, json.dumps(value, ensure_ascii=False)
