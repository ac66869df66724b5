"""What is wrong with a value that does not fit its type: where, and what would be right, in a person's words.

msgspec stops at the first fault and says "Expected `int`, got `str` - at `$.buses[0].port`". It leaves out
which entry of a mapping it means (`$.sites[...].name`) and which words or keys it knows: the one is found by
trying the entries one at a time, the other by walking the type to the same place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import inspect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import EllipsisType

Path_: TypeAlias = tuple[str | int, ...]

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping (key: value)",
    "null": "nothing",
}


@dataclass(frozen=True)
class Mismatch:
    """One place where a value does not fit its type."""

    path: Path_
    expected: str
    found: str | None = None
    """In words; None: the value that stands there."""
    is_key: bool = False
    """Not the value at the path is wrong, but the key that names it."""
    wants_text: bool = False
    """A text is right here, and something else was found."""


def look_up(value: object, path: Path_) -> object:
    """Value at a path; None where there is none."""
    found: Any = value
    for step in path:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            return None
    return found


def explain(error: msgspec.ValidationError, value: object, kind: Any) -> Mismatch:  # noqa: ANN401 - any type form
    """Find where `value` does not fit `kind`, given the error that `msgspec.convert` raised for the two."""
    text, mark, where = str(error).rpartition(" - at `")
    if not mark:
        text, where = where, ""
    is_key = where.startswith("key` in `")
    steps = _steps(where.removeprefix("key` in `").rstrip("`"))
    path = _locate([*steps, ...] if is_key else steps, str(error), value, kind)
    if text.startswith("Object contains unknown field `"):
        key = text.removeprefix("Object contains unknown field `").removesuffix("`")
        return Mismatch((*path, key), _one_of(_keys(kind, path), key), f"unknown key {key!r}", is_key=True)
    if text.startswith("Object missing required field `"):
        key = text.removeprefix("Object missing required field `").removesuffix("`")
        return Mismatch(path, f"{key!r} to be set here", f"no key {key!r}")
    if text.startswith("Invalid value "):  # of the field that tells the members of a union apart
        tags = [str(each.tag) for each in _types(kind, path[:-1]) if isinstance(each, inspect.StructType)]
        return Mismatch(path, _one_of(tags, str(look_up(value, path))))
    if is_key and path:
        key_types = [each.key_type for each in _types(kind, path[:-1]) if isinstance(each, inspect.DictType)]
        types = [member for each in key_types for member in _members(each)]
        return Mismatch(path, _expected(text, str(path[-1]), types), f"the key {path[-1]!r}", is_key=True)
    wants_text = text.startswith("Expected `str") and ", got `" in text
    return Mismatch(path, _expected(text, look_up(value, path), _types(kind, path)), wants_text=wants_text)


def _steps(text: str) -> list[str | int | EllipsisType]:
    """`$.buses[0].sites[...]` -> `["buses", 0, "sites", ...]`."""
    steps: list[str | int | EllipsisType] = []
    for name, index in _STEP.findall(text.removeprefix("$")):
        steps.append(... if index == "..." else name or int(index))
    return steps


def _locate(steps: list[str | int | EllipsisType], message: str, value: object, kind: Any) -> Path_:  # noqa: ANN401
    """Fill in the keys that msgspec writes as `[...]`; stops before one that cannot be told."""
    path: Path_ = ()
    for step in steps:
        if isinstance(step, str | int):
            path = (*path, step)
            continue
        mapping = look_up(value, path)
        for key, entry in mapping.items() if isinstance(mapping, dict) else ():
            alone = _with(value, path, {key: entry})
            if _complaint(alone, kind) == message:
                value, path = alone, (*path, key)
                break
        else:
            break
    return path


def _complaint(value: object, kind: Any) -> str | None:  # noqa: ANN401 - any type form
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _with(value: Any, path: Path_, new: object) -> object:  # noqa: ANN401 - plain values of any shape
    """Copy of a value with another one at a path."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _with(value[path[0]], path[1:], new)
    return copy


def _types(kind: Any, path: Path_) -> list[inspect.Type]:  # noqa: ANN401 - any type form
    """Types that the place at a path may have; an annotated one is followed by what it annotates."""
    types = list(_members(inspect.type_info(kind)))
    for step in path:
        types = [member for parent in types for child in _children(parent, step) for member in _members(child)]
    return types


def _members(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.UnionType):
        for member in kind.types:
            yield from _members(member)
        return
    yield kind
    if isinstance(kind, inspect.Metadata):
        yield from _members(kind.type)


def _children(parent: inspect.Type, step: str | int) -> Iterator[inspect.Type]:
    match parent:
        case inspect.StructType():
            yield from (field.type for field in parent.fields if field.encode_name == step)
        case inspect.DictType():
            yield parent.value_type
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType():
            yield parent.item_type
        case inspect.TupleType():
            yield from parent.item_types[int(step) : int(step) + 1]


def _keys(kind: Any, path: Path_) -> list[str]:  # noqa: ANN401 - any type form
    structs = [each for each in _types(kind, path) if isinstance(each, inspect.StructType)]
    tags = [each.tag_field for each in structs if each.tag_field is not None]
    names = [field.encode_name for each in structs for field in each.fields]
    return list(dict.fromkeys(tags + names))


def _expected(text: str, found: object, types: list[inspect.Type]) -> str:
    """Turn msgspec's words into those of a person who writes YAML."""
    if text.startswith("Invalid enum value"):
        values = [each.values for each in types if isinstance(each, inspect.LiteralType)]
        return _one_of([str(value) for group in values for value in group], str(found))
    if "matching regex" in text:
        for each in types:
            if isinstance(each, inspect.Metadata) and each.extra_json_schema:
                return str(each.extra_json_schema.get("description", text))
    text = text.removeprefix("Expected ").partition(", got ")[0]
    match = re.match(r"`([a-z | ]+)`", text)
    if match is None:
        return text
    words = " or ".join(_WORDS.get(part, part) for part in match[1].split(" | "))
    return words + text[match.end() :].replace("matching regex", "matching the pattern")


def _one_of(known: list[str], found: str) -> str:
    import difflib  # noqa: PLC0415 - for who made a mistake alone

    near = difflib.get_close_matches(found, known, 1)
    perhaps = f"{near[0]!r}, or another " if near and len(known) > 1 else ""
    return f"{perhaps}one of those documented: {', '.join(sorted(known))}" if known else "nothing here"
