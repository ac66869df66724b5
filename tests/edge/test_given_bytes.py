"""What `messnetz device decode` is given: digits, files of them, dumps, recorded bytes, and what is none of it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import drivers
from edge.given_bytes import LARGEST, of_dump, of_hex, read_each, read_given

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text",
    ["68e516", "68 e5 16", "0x68 0xE5 0x16", "68:E5:16", "|68_e516|", "68,e5,16", "0x68, 0xe5, 0x16", "68-E5-16"],
)
def test_digits_may_be_written_in_many_ways(text: str) -> None:
    """As tools and logs print them."""
    assert of_hex(text) == b"\x68\xe5\x16"


@pytest.mark.parametrize("text", ["6", "68e", "6 8", "zz", "", "0x", "||", "68 e5 1 6"])
def test_half_a_byte_is_none(text: str) -> None:
    """What is no whole number of bytes is a file's name, if anything."""
    assert of_hex(text) is None


def test_lines_of_digits_stay_apart_where_telegrams_are_wanted(tmp_path: Path) -> None:
    """A remark and an empty line are none."""
    file = tmp_path / "telegrams.txt"
    file.write_text("# the school's meter\n68 e5\n\n0x16ff\n")
    assert read_each(str(file)) == [b"\x68\xe5", b"\x16\xff"]
    assert read_given(str(file)) == b"\x68\xe5\x16\xff"


def test_a_dump_is_one_piece(tmp_path: Path) -> None:
    """It is cut where the tool that made it had a line's end, and not where a telegram ends."""
    file = tmp_path / "dump.txt"
    file.write_text("00000000: 68 e5  h.\n00000002: 16 ff  ..\n")
    assert read_each(str(file)) == [b"\x68\xe5\x16\xff"]


def test_digits_that_begin_like_a_dump_are_digits() -> None:
    """A dump's lines begin with how many bytes stand before them."""
    assert of_dump(b"6803036808 02 72 7c 16\n") == bytes.fromhex("680303680802727c16")
    assert of_dump(b"00000000 68 e5\n00000009 16 ff\n") == bytes.fromhex("0000000068e50000000916ff")
    assert of_dump(b"00001000 68 e5\n00001002 16 ff\n") == bytes.fromhex("68e516ff")


@pytest.mark.parametrize("name", sorted(set(drivers.DECODERS) - {"lorawan-codec"}))
@pytest.mark.parametrize("given_text", ["/dev/zero", "/dev/null", "", " ", "no/such/file", "6", "\0"])
def test_what_holds_no_bytes_is_refused_in_a_sentence(name: str, given_text: str) -> None:
    """By every decoder alike: a port is not read for ever, and nothing ends in a stack trace."""
    with pytest.raises(click.BadParameter) as caught:
        drivers.load_decoder(name).main([given_text], standalone_mode=False)
    assert "\n" not in caught.value.message


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    """Among lines of digits, one that has something else is a mistake, and no telegram of text."""
    file = tmp_path / "telegrams.txt"
    file.write_text("68 e5\nno hex\n")
    with pytest.raises(click.BadParameter, match=r"telegrams\.txt:2: 'no hex', where hexadecimal digits were expected"):
        read_each(str(file))


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A log of a month is no telegram."""
    file = tmp_path / "long"
    file.write_bytes(b"\0" * (LARGEST + 1))
    with pytest.raises(click.BadParameter, match="over 1 MiB"):
        read_given(str(file))


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    """Such as a recording from a line on which nothing came."""
    file = tmp_path / "empty"
    file.write_text("\n")
    with pytest.raises(click.BadParameter, match="is empty"):
        read_given(str(file))


def test_a_pipe_is_read(tmp_path: Path) -> None:
    """`messnetz device decode mbus <(ssh gateway cat telegram)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"68e5",))
    writer.start()
    assert read_given(str(pipe)) == b"\x68\xe5"
    writer.join()


@given(st.binary(min_size=1, max_size=200))
@settings(max_examples=200, derandomize=True)
def test_a_dump_gives_the_bytes_that_were_dumped(data: bytes) -> None:
    """Digits, or a hexdump with its text beside."""
    assert of_hex(data.hex(" ")) == data
    rows = [data[at : at + 16] for at in range(0, len(data), 16)]
    dump = "\n".join(f"{16 * n:08x}: {row.hex(' ')}  {'.' * len(row)}" for n, row in enumerate(rows))
    assert of_dump(dump.encode()) == data


@given(st.binary(max_size=300))
@settings(max_examples=200, derandomize=True)
def test_any_content_of_a_file_is_some_bytes(content: bytes) -> None:
    """Never an exception."""
    of_dump(content)
