"""Strict YAML: 1.2 scalars, no duplicate keys, and a position for every value.

The parser's events (which have positions) become plain Python values by the YAML 1.2 core schema (`no` stays a
text, `0x1F` is a number, a date stays a text), and those are converted into a
msgspec struct. Whatever is wrong becomes a `ConfigError` at the line and column that a person wrote.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec
import yaml

from base.errors import ConfigError, Position
from base.explain import Path_ as Path_  # noqa: PLC0414 - others know it from here
from base.explain import explain, look_up

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE_BYTES = 1 << 20
MAX_NODES = 60_000  # aliases multiply nodes; this bounds what a YAML bomb can cost
MAX_DEPTH = 50
_TOO_DEEP = (f"nesting of over {MAX_DEPTH} levels", "flat settings")

T = TypeVar("T")
Mark: TypeAlias = Any
"""Where the parser was: `line` and `column` from 0. libyaml's and PyYAML's share no type."""

_LoaderBase: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where the wheel has it: ten times faster

_NULL = re.compile(r"^(?:|~|null|Null|NULL)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^[-+]?[0-9]+$")
_OCTAL = re.compile(r"^0o[0-7]+$")
_HEX = re.compile(r"^0x[0-9a-fA-F]+$")
_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
# Beyond what YAML 1.2 calls printable: libyaml takes U+0085, U+2028 and U+2029 for line ends, as YAML 1.1 did.
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_FINITE = re.compile(r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$")


@dataclass
class Document:
    """One parsed file: its plain values, and where each of them was written."""

    file: Path
    value: Any
    _values: dict[Path_, Mark] = field(default_factory=dict, repr=False)
    _keys: dict[Path_, Mark] = field(default_factory=dict, repr=False)
    _numbers: dict[Path_, str] = field(default_factory=dict, repr=False)
    """Numbers as they were written."""
    _aliases: dict[Path_, Path_] = field(default_factory=dict, repr=False)
    """Where the value of an alias was written."""

    def at(self, *path: str | int) -> Position:
        """Position of the value at a path such as `("buses", 0, "id")`, or of its nearest parent."""
        path = self._origin(path)
        while path and path not in self._values:
            path = path[:-1]
        return _position(self.file, self._values.get(path))

    def _origin(self, path: Path_) -> Path_:
        """Follow aliases to where what lies below them was written."""
        for end in range(1, len(path)):
            if path[:end] in self._aliases:
                return self._origin(self._aliases[path[:end]] + path[end:])
        return path

    def key_at(self, *path: str | int) -> Position:
        """Position of the key that names the value at a path."""
        mark = self._keys.get(self._origin(path))
        return self.at(*path) if mark is None else _position(self.file, mark)

    def lookup(self, path: Path_) -> object:
        """Value at a path; None where there is none."""
        return look_up(self.value, path)

    def error(self, path: Path_, found: str, expected: str) -> ConfigError:
        """Build the error for the value at a path."""
        return ConfigError(self.at(*path), found, expected)

    def convert(self, kind: type[T], path: Path_ = ()) -> T:
        """Convert the value at a path into a struct, strictly.

        Raises: ConfigError at the place that does not fit.
        """
        value = self.lookup(path)
        if value is None and not path:
            raise ConfigError(Position(self.file), "an empty file", "settings, as the documentation shows them")
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            mismatch = explain(error, value, kind)
            at = path + mismatch.path
            position = self.key_at(*at) if mismatch.is_key else self.at(*at)
            expected = mismatch.expected
            if mismatch.wants_text and at in self._numbers:
                expected = f"a text in quotes: '{self._numbers[at]}'"
            raise ConfigError(position, mismatch.found or self._show(at), expected) from error

    def _show(self, path: Path_) -> str:
        return self._numbers.get(path) or _show(self.lookup(path))


def load(file: Path) -> Document:
    """Read and parse one YAML file.

    Raises: ConfigError where the file cannot be read, is over 1 MiB, is no text or no YAML.
    """
    return parse(read(file), file)


def read(file: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Read a file whole.

    Raises: ConfigError where it cannot be read, or is too large.
    """
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):  # reading a FIFO would wait for its writer for ever
            raise ConfigError(Position(file), "no readable file (a FIFO, socket or device)", "a YAML file")
        with file.open("rb") as handle:
            data = handle.read(max_bytes + 1)
    except OSError as error:
        raise ConfigError(Position(file), f"no readable file ({error.strerror})", "a YAML file") from error
    _check_size(data, file, max_bytes)
    return data


def _check_size(data: bytes, file: Path, max_bytes: int) -> None:
    if len(data) > max_bytes:
        raise ConfigError(Position(file), f"a file of over {max_bytes >> 20} MiB", "one that is far smaller")


def parse(data: bytes, file: Path, *, max_bytes: int = MAX_FILE_BYTES, max_nodes: int = MAX_NODES) -> Document:
    """Parse the content of one YAML file; `file` is what errors name.

    The bounds are those of files that people write; what a program wrote may be larger.

    Raises: ConfigError where it is too large, no text or no YAML.
    """
    _check_size(data, file, max_bytes)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = _end_of(data[: error.start].decode("utf-8-sig"), file)
        raise ConfigError(at, f"byte 0x{data[error.start]:02X}, which is no UTF-8", "a UTF-8 text file") from error
    control = _CONTROL.search(text)
    if control is not None:
        at = _end_of(text[: control.start()], file)
        raise ConfigError(at, f"the control character U+{ord(control[0]):04X}", "a text file")
    document = Document(file, None)
    builder = _Builder(document, max_nodes)
    try:
        for event in yaml.parse(text, _LoaderBase):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(
            _position(file, mark), f"broken YAML ({error.problem or error.context})", "well-formed YAML"
        ) from error
    return document


def _end_of(text: str, file: Path) -> Position:
    return Position(file, text.count("\n") + 1, len(text) - text.rfind("\n"))


def _position(file: Path, mark: Mark | None) -> Position:
    return Position(file) if mark is None else Position(file, mark.line + 1, mark.column + 1)


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read."""

    value: list[object] | dict[str, object]
    path: Path_
    anchor: str | None
    key: str | None = None
    """Of the value that comes next in a mapping."""
    weight: int = 1
    """How many values it holds, those that aliases repeat counted each time."""


class _Builder:
    """Builds plain values out of a parser's events, one after the other, and notes the position of each.

    Nothing recurses, so that no nesting can end the process; an alias shares its value, and is counted as whatever
    walks through the document will meet it.
    """

    def __init__(self, document: Document, max_nodes: int) -> None:
        self._document = document
        self._max_nodes = max_nodes
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[object, int] | None] = {}
        self._origins: dict[str, Path_] = {}
        self._is_done = False

    def feed(self, event: Any) -> None:  # noqa: ANN401 - libyaml's and PyYAML's events share no type
        """Take the next event."""
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event)
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._refuse_tag(event)
            self._begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._open.pop()
            self._put(done.value, done.weight, done.anchor, event.start_mark)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent) and self._is_done:
            raise self._error(event.start_mark, "a second document (---)", "one document")

    def _error(self, mark: Mark, found: str, expected: str) -> ConfigError:
        return ConfigError(_position(self._document.file, mark), found, expected)

    def _refuse_tag(self, event: Any) -> None:  # noqa: ANN401 - as `feed`
        if event.tag is not None:
            raise self._error(event.start_mark, f"the tag {event.tag}", "a value without a tag")

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is None

    def _next_path(self) -> Path_:
        if not self._open:
            return ()
        parent = self._open[-1]
        return (*parent.path, len(parent.value) if parent.key is None else parent.key)

    def _begin(self, event: Any) -> None:  # noqa: ANN401 - as `feed`
        if self._wants_key():
            raise self._error(event.start_mark, "a key that is no text", "a text as key")
        if len(self._open) >= MAX_DEPTH:
            raise self._error(event.start_mark, *_TOO_DEEP)
        path = self._next_path()
        self._document._values[path] = event.start_mark  # noqa: SLF001 - the document's own builder
        if event.anchor is not None:
            self._anchors[event.anchor] = None
            self._origins[event.anchor] = path
        value: list[object] | dict[str, object] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        self._open.append(_Open(value, path, event.anchor))

    def _scalar(self, event: Any) -> None:  # noqa: ANN401 - as `feed`
        if self._wants_key():
            self._key(event)
            return
        path, mark, text = self._next_path(), event.start_mark, event.value
        document = self._document
        document._values[path] = mark  # noqa: SLF001 - the document's own builder
        value = text if event.style else _plain(text)  # quoted or a block: always a text
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error(mark, f"{text}, which is no finite number", "a finite number, or a text in quotes")
        if isinstance(value, int | float) and not isinstance(value, bool):
            document._numbers[path] = text  # noqa: SLF001 - the document's own builder
        self._put(value, 1, event.anchor, mark)

    def _key(self, event: Any) -> None:  # noqa: ANN401 - as `feed`
        parent, key, mark = self._open[-1], event.value, event.start_mark
        if key == "<<" and not event.style:
            raise self._error(mark, "a merge (<<)", "the keys written out")
        path = (*parent.path, key)
        if key in parent.value:
            first = self._document.key_at(*path)
            raise self._error(mark, f"key {key!r} a second time (first in line {first.line})", "each key once")
        self._document._keys[path] = mark  # noqa: SLF001 - the document's own builder
        parent.key = key

    def _alias(self, event: Any) -> None:  # noqa: ANN401 - as `feed`
        if self._wants_key():
            raise self._error(event.start_mark, "a key that is no text", "a text as key")
        if event.anchor not in self._anchors:
            raise self._error(event.start_mark, f"the alias *{event.anchor}", f"an anchor &{event.anchor} before it")
        named = self._anchors[event.anchor]
        if named is None:
            raise self._error(event.start_mark, f"the alias *{event.anchor} within what it names", "an end to it")
        path = self._next_path()
        self._document._values[path] = event.start_mark  # noqa: SLF001 - the document's own builder
        if event.anchor in self._origins:
            self._document._aliases[path] = self._origins[event.anchor]  # noqa: SLF001 - as above
        self._put(*named, None, event.start_mark)

    def _put(self, value: object, weight: int, anchor: str | None, mark: Mark) -> None:
        """Put a finished value where it belongs."""
        if anchor is not None:
            self._anchors[anchor] = (value, weight)
            if not isinstance(value, dict | list):
                self._origins.pop(anchor, None)
        if not self._open:
            self._document.value = value
            self._is_done = True
            return
        parent = self._open[-1]
        parent.weight += weight
        if parent.weight > self._max_nodes:
            raise self._error(mark, f"over {self._max_nodes} values (aliases multiply them)", "fewer")
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is not None:
            parent.value[parent.key] = value
            parent.key = None


def _plain(text: str) -> object:  # noqa: PLR0911 - one return per scalar type of YAML 1.2
    """Read an unquoted scalar by the core schema of YAML 1.2."""
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text.lower() == "true"
    if _NOT_FINITE.match(text):
        return float(text.replace(".", ""))
    if len(text) > 40:
        return text
    if _INT.match(text):
        return int(text)
    if _HEX.match(text):
        return int(text, 16)
    if _OCTAL.match(text):
        return int(text, 8)
    if _FLOAT.match(text):
        return float(text)
    return text


def _show(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            text = repr(value)
            return text if len(text) <= 60 else text[:57] + "..."
