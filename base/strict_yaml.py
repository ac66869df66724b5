"""Strict YAML: 1.2 scalars, no duplicate keys, and a position for every value.

A file is composed into PyYAML's node graph (which keeps positions), turned into plain Python values by the
YAML 1.2 core schema (`no` stays a text, `0x1F` is a number, a date stays a text), and converted into a
msgspec struct. Whatever is wrong becomes a `ConfigError` at the line and column that a person wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec
import yaml

from base.errors import ConfigError, Position

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_FILE_BYTES = 1 << 20
MAX_NODES = 200_000  # aliases multiply nodes; this bounds what a YAML bomb can cost
MAX_DEPTH = 50

T = TypeVar("T")
Path_: TypeAlias = tuple[str | int, ...]

_LoaderBase: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where the wheel has it: ten times faster

_NULL = re.compile(r"^(?:|~|null|Null|NULL)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^[-+]?[0-9]+$")
_OCTAL = re.compile(r"^0o[0-7]+$")
_HEX = re.compile(r"^0x[0-9a-fA-F]+$")
_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_NOT_FINITE = re.compile(r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$")


@dataclass
class Document:
    """One parsed file: its plain values, and where each of them was written."""

    file: Path
    value: Any
    _values: dict[Path_, Position] = field(default_factory=dict, repr=False)
    _keys: dict[Path_, Position] = field(default_factory=dict, repr=False)

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
        value: Any = self.value
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def error(self, path: Path_, found: str, expected: str) -> ConfigError:
        """Build the error for the value at a path."""
        return ConfigError(self.at(*path), found, expected)

    def convert(self, kind: type[T], path: Path_ = ()) -> T:
        """Convert the value at a path into a struct, strictly.

        Raises: ConfigError at the place that does not fit.
        """
        value = self.lookup(path)
        if value is None and not path:
            raise ConfigError(Position(self.file), "an empty file", f"the settings of a {_noun(kind)}")
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise self._explain(str(error), path) from error

    def _explain(self, message: str, prefix: Path_) -> ConfigError:
        text, _, where = message.partition(" - at `")
        path = prefix + _parse_path(where.rstrip("`"))
        if text.startswith("Object contains unknown field"):
            key = text.split("`")[1]
            return ConfigError(self.key_at(*path, key), f"unknown key {key!r}", "one of the documented keys")
        if text.startswith("Object missing required field"):
            key = text.split("`")[1]
            return ConfigError(self.at(*path), f"no key {key!r}", f"{key!r} to be set here")
        return ConfigError(self.at(*path), _show(self.lookup(path)), _expected(text))


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
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            Position(file, line, 1), f"byte 0x{data[error.start]:02X}, which is no UTF-8", "a UTF-8 text file"
        ) from error
    document = Document(file, None)
    try:
        node = yaml.compose(text, _LoaderBase)
        if node is not None:
            document.value = _Builder(document).build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file)
        raise ConfigError(at, f"broken YAML ({error.problem or error.context})", "well-formed YAML") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(Position(file, line, 1), "a control character", "a text file") from error
    except RecursionError as error:
        raise ConfigError(Position(file), f"nesting of over {MAX_DEPTH} levels", "flat settings") from error
    return document


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
            raise ConfigError(at, f"nesting of over {MAX_DEPTH} levels", "flat settings")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, at)
        if isinstance(node, yaml.SequenceNode):
            self._no_tag(node, "tag:yaml.org,2002:seq", at)
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        self._no_tag(node, "tag:yaml.org,2002:map", at)
        return dict(self._pairs(node, path))

    def _pairs(self, node: yaml.Node, path: Path_) -> Iterator[tuple[str, object]]:
        seen: dict[str, Position] = {}
        for key_node, value_node in node.value:
            at = self._position(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(at, "a key that is no text", "a text as key")
            key = str(key_node.value)
            if key in seen:
                raise ConfigError(at, f"key {key!r} a second time (first in line {seen[key].line})", "each key once")
            seen[key] = at
            self.document._keys[(*path, key)] = at  # noqa: SLF001 - the document's own builder
            yield key, self.build(value_node, (*path, key))

    def _scalar(self, node: yaml.ScalarNode, at: Position) -> object:
        text: str = node.value
        if node.style:  # quoted or a block: always a text (libyaml says "" where plain)
            self._no_tag(node, "tag:yaml.org,2002:str", at)
            return text
        if not node.tag.startswith("tag:yaml.org,2002:"):
            raise ConfigError(at, f"the tag {node.tag}", "a plain value")
        return self._plain(text, at)

    @staticmethod
    def _plain(text: str, at: Position) -> object:  # noqa: PLR0911 - one return per scalar type of YAML 1.2
        if _NULL.match(text):
            return None
        if _BOOL.match(text):
            return text.lower() == "true"
        if _NOT_FINITE.match(text):
            raise ConfigError(at, text, "a finite number")
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

    @staticmethod
    def _no_tag(node: yaml.Node, default: str, at: Position) -> None:
        if node.tag not in (default, "!"):
            raise ConfigError(at, f"the tag {node.tag}", "a plain value")

    def _position(self, node: yaml.Node) -> Position:
        mark = node.start_mark
        return Position(self.document.file, mark.line + 1, mark.column + 1)


_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def _parse_path(text: str) -> Path_:
    """`$.buses[0].id` -> `("buses", 0, "id")`; stops where msgspec writes `[...]` for a key."""
    steps: list[str | int] = []
    for name, index in _STEP.findall(text.removeprefix("$")):
        if index == "...":
            break
        steps.append(name or int(index))
    return tuple(steps)


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


_WORDS = {
    "`int`": "a whole number",
    "`float`": "a number",
    "`str`": "a text",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "a mapping (key: value)",
    "`null`": "nothing",
}


def _expected(text: str) -> str:
    """Turn msgspec's words into those of a person who writes YAML."""
    if text.startswith("Invalid enum value"):
        return "one of the documented values"
    text = text.removeprefix("Expected ").split(", got ")[0]
    for code, words in _WORDS.items():
        text = text.replace(code, words)
    return text.replace(" | ", " or ").replace("matching regex", "matching the pattern")


def _noun(kind: type) -> str:
    return kind.__name__.removesuffix("Config").lower() or "file"
