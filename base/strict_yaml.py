"""Strict YAML: 1.2 scalars, no duplicate keys, and a position for every value.

A file is composed into PyYAML's node graph (which keeps positions), turned into plain Python values by the
YAML 1.2 core schema (`no` stays a text, `0x1F` is a number, a date stays a text), and converted into a
msgspec struct. Whatever is wrong becomes a `ConfigError` at the line and column that a person wrote.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import yaml

from base.errors import ConfigError, Position
from base.explain import Path_ as Path_  # noqa: PLC0414 - others know it from here
from base.explain import explain, look_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_FILE_BYTES = 1 << 20
MAX_NODES = 200_000  # aliases multiply nodes; this bounds what a YAML bomb can cost
MAX_DEPTH = 50
_TOO_DEEP = (f"nesting of over {MAX_DEPTH} levels", "flat settings")

T = TypeVar("T")

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
    _values: dict[Path_, Position] = field(default_factory=dict, repr=False)
    _keys: dict[Path_, Position] = field(default_factory=dict, repr=False)
    _numbers: dict[Path_, str] = field(default_factory=dict, repr=False)
    """Numbers as they were written."""

    def at(self, *path: str | int) -> Position:
        """Position of the value at a path such as `("buses", 0, "id")`, or of its nearest parent."""
        while path and path not in self._values:
            path = path[:-1]
        return self._values.get(path, Position(self.file))

    def key_at(self, *path: str | int) -> Position:
        """Position of the key that names the value at a path."""
        return self._keys.get(path) or self.at(*path)

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
    try:
        with file.open("rb") as handle:
            data = handle.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(Position(file), f"no readable file ({error.strerror})", "a YAML file") from error
    return parse(data, file)


def parse(data: bytes, file: Path) -> Document:
    """Parse the content of one YAML file; `file` is what errors name."""
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(Position(file), "a file of over 1 MiB", "settings, which are far smaller")
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
    try:
        _check_events(text, file)
        node = yaml.compose(text, _LoaderBase)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = _position(file, mark) if mark else Position(file)
        raise ConfigError(at, f"broken YAML ({error.problem or error.context})", "well-formed YAML") from error
    if node is not None:
        document.value = _Builder(document).build(node, ())
    return document


def _check_events(text: str, file: Path) -> None:
    """Refuse tags and deep nesting before anything recurses: composing a million brackets ends the process."""
    depth = 0
    for event in yaml.parse(text, _LoaderBase):
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise ConfigError(_position(file, event.start_mark), f"the tag {tag}", "a value without a tag")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigError(_position(file, event.start_mark), *_TOO_DEEP)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _end_of(text: str, file: Path) -> Position:
    return Position(file, text.count("\n") + 1, len(text) - text.rfind("\n"))


def _position(file: Path, mark: Any) -> Position:  # noqa: ANN401 - libyaml's and PyYAML's marks share no type
    return Position(file, mark.line + 1, mark.column + 1)


class _Builder:
    """Turns a node graph into plain values, and notes the position of each."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def build(self, node: yaml.Node, path: Path_) -> object:
        at = self._position(node)
        self.document._values[path] = at  # noqa: SLF001 - the document's own builder
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise ConfigError(at, f"over {MAX_NODES} values (aliases multiply them)", "fewer")
        if len(path) > MAX_DEPTH:
            raise ConfigError(at, *_TOO_DEEP)  # an alias within what it names
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return dict(self._pairs(node, path))

    def _pairs(self, node: yaml.Node, path: Path_) -> Iterator[tuple[str, object]]:
        seen: dict[str, Position] = {}
        for key_node, value_node in node.value:
            at = self._position(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(at, "a key that is no text", "a text as key")
            key = str(key_node.value)
            if key == "<<" and not key_node.style:
                raise ConfigError(at, "a merge (<<)", "the keys written out")
            if key in seen:
                raise ConfigError(at, f"key {key!r} a second time (first in line {seen[key].line})", "each key once")
            seen[key] = at
            self.document._keys[(*path, key)] = at  # noqa: SLF001 - the document's own builder
            yield key, self.build(value_node, (*path, key))

    def _scalar(self, node: yaml.ScalarNode, path: Path_, at: Position) -> object:
        text: str = node.value
        if node.style:  # quoted or a block: always a text
            return text
        value = _plain(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(at, f"{text}, which is no finite number", "a finite number, or a text in quotes")
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.document._numbers[path] = text  # noqa: SLF001 - the document's own builder
        return value

    def _position(self, node: yaml.Node) -> Position:
        return _position(self.document.file, node.start_mark)


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
