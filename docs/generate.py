"""Writes the pages of `docs/` that are made from the code: configuration reference, device list, measurements.

`make docs` runs it; a test fails where a page is not what it would write.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from base.broker import MqttConfig, TlsConfig
from cloud.command import CommandFile
from cloud.config import CollectorFile
from cloud.stores.config import EmbeddedConfig, Influx1Config, Influx2Config, StoreConfig
from cloud.town import TownFile
from edge import drivers
from gateway.config import GatewayFile, SpoolConfig, UplinkConfig
from wire import profile as profiles
from wire.town import Coordinates, Site
from wire.vocabulary import measurements, quantities

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
NO_NEWLINE = r"(?!\n)"  # Python's `$` also matches before a last newline
UNITS = {
    "_readings_per_s": "readings/s",
    "_interval_s": "s",
    "_readings": "readings",
    "_s": "s",
    "_d": "d",
    "_mb": "MiB",
    "baud_rate": "Bd",
    "window": "batches",
    "lat": "°",
    "lon": "°",
}
"""End of a setting's name -> its unit; the first that fits. The others are counts and numbers without one."""
NOTE = "<!-- Made by docs/generate.py; change the code and run `make docs`. -->\n"


def _is_of_profile(kind: object) -> bool:
    """Whether a struct is explained by the profiles, and not here."""
    return getattr(kind, "__module__", "") in ("wire.profile", "base.messages")


def _structs(kind: Any) -> Iterator[type[msgspec.Struct]]:  # noqa: ANN401 - any annotation
    """Find the structs in a type, each before those that it holds."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not _is_of_profile(kind):
        yield kind
        for held in get_type_hints(kind).values():
            yield from _structs(held)
    for argument in get_args(kind):
        yield from _structs(argument)


def _buses() -> Iterator[tuple[str, str, list[type[msgspec.Struct]]]]:
    """Make a section of every driver's buses."""
    told: set[type] = {MqttConfig, TlsConfig}
    for name in drivers.DRIVERS:
        driver = drivers.load(name)
        new = [struct for struct in dict.fromkeys(_structs(driver.config)) if struct not in told]
        told.update(new)
        yield f"{driver.title}: an item of `buses`", f"With `driver: {name}`.", new


SECTIONS: list[tuple[str, str, list[type[msgspec.Struct]]]] = [
    (
        "A gateway: `gateways/<id>.yaml`",
        "Read by the agent (`messnetz gateway run`), copied to the gateway as it is.",
        [GatewayFile, MqttConfig, TlsConfig, SpoolConfig, UplinkConfig],
    ),
    *_buses(),
    ("The town: `town.yaml` and `sites.yaml`", "`sites.yaml` maps the id of a site to:", [TownFile, Site, Coordinates]),
    (
        "A collector: `collector.yaml`",
        "Read by `messnetz cloud run`. Exactly one store.",
        [CollectorFile, StoreConfig, EmbeddedConfig, Influx1Config, Influx2Config],
    ),
    ("Commands: `command.yaml`", "Read by `messnetz cloud command`.", [CommandFile]),
]


def field_docs(struct: type) -> dict[str, str]:
    """Return the text below each field of a struct, its bases' included; one line each."""
    docs: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        if not issubclass(base, msgspec.Struct) or base is msgspec.Struct:
            continue
        body = ast.parse(inspect.getsource(base)).body[0]
        assert isinstance(body, ast.ClassDef)  # noqa: S101 - a struct is a class
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                assert isinstance(field.target, ast.Name)  # noqa: S101 - as Python's grammar has it in a class
                docs[field.target.id] = " ".join(str(text.value.value).split())
    return docs


def describe(kind: Any) -> str:  # noqa: ANN401, PLR0911 - any annotation; one return per kind
    """Say in words what a value must be."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return describe(arguments[0]) + _bounds(arguments[1:])
    if origin in (Union, UnionType):
        parts = [part for part in arguments if part is not type(None)]
        words = ["or a list of such" if part == list[parts[0]] else describe(part) for part in parts]  # type: ignore[valid-type]
        return ", ".join(words)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is list:
        return f"list of {describe(arguments[0])}"
    if origin is dict:
        key, value = arguments
        return "mapping" if value in (object, Any) else f"mapping of {describe(key)} to {describe(value)}"
    if _is_of_profile(kind):
        return "as in a profile"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    return {int: "whole number", float: "number", str: "text", bool: "true or false"}[kind]


def _bounds(metas: tuple[Any, ...]) -> str:
    meta = metas[0]
    low, high = meta.ge if meta.ge is not None else meta.gt, meta.le
    if low is not None and high is not None:
        return f", {_plain(low)} to {_plain(high)}"
    if low is not None:
        return f", {'at least' if meta.ge is not None else 'above'} {_plain(low)}"
    described = (meta.extra_json_schema or {}).get("description", meta.description)
    if described:
        return f": {described}".replace("|", "\\|")
    if meta.pattern:
        return f", `{meta.pattern.removesuffix(NO_NEWLINE)}`".replace("|", "\\|")
    return ""


def _plain(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if default is None or isinstance(default, msgspec.Struct) or default in ([], {}):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def anchor(title: str) -> str:
    """Name of a heading in a link, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def unit(name: str) -> str:
    """Say in which unit a setting is, by its name; empty where it has none."""
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")


def _table(struct: type[msgspec.Struct]) -> Iterator[str]:
    yield f"\n### {struct.__name__}\n\n{inspect.cleandoc(struct.__doc__ or '')}\n\n"
    yield "| key | type and bounds | unit | default | what |\n| --- | --- | --- | --- | --- |\n"
    hints, docs = get_type_hints(struct, include_extras=True), field_docs(struct)
    for field in msgspec.structs.fields(struct):
        kind = describe(hints[field.name])
        in_unit = unit(field.name) if "number" in kind else ""
        yield f"| `{field.encode_name}` | {kind} | {in_unit} | {_default(field)} | {docs[field.name]} |\n"


def configuration() -> str:
    """Write the configuration reference."""
    parts = [
        NOTE,
        "# Configuration\n\nYAML 1.2; an unknown key is an error. Paths of secrets are files with mode 0600.\n",
        "What has neither a default nor `required` may be left out.\n\n",
        *(f"- [{title}](#{anchor(title)})\n" for title, _, _ in SECTIONS),
    ]
    for title, text, structs in SECTIONS:
        parts.append(f"\n## {title}\n\n{text}\n")
        for struct in structs:
            parts += _table(struct)
    return "".join(parts)


def _protocols() -> Iterator[str]:
    """Write the table of drivers, each with what a technician needs to know of it."""
    yield "\n## Protocols\n\n| `driver:` | what it is | wiring, settings, traps |\n| --- | --- | --- |\n"
    for name, module in drivers.DRIVERS.items():
        readme = f"{module.rpartition('.')[0].replace('.', '/')}/README.md"
        yield f"| `{name}` | {drivers.load(name).title} | [{readme}](../{readme}) |\n"


def devices() -> str:
    """Write the device list."""
    parts = [NOTE, "# Devices\n\nOne YAML file each in `firmware-config/profiles`.\n", *_protocols()]
    for name in profiles.names():
        profile = profiles.load(name)
        parts.append(f"\n## `{name}`\n\n{profile.label.en}. Driver `{profile.driver}`, measurement `")
        parts.append(f"{profile.measurement}`, every {profile.interval_s:g} s unless set.\n\n")
        by_quantity: dict[str, list[str]] = {}
        for reading in profile.readings:
            quantity, _, channel = reading.partition("/")
            by_quantity.setdefault(quantity, []).append(channel or "whole device")
        parts.append("| quantity | unit | channels |\n| --- | --- | --- |\n")
        for quantity, channels in by_quantity.items():
            parts.append(f"| {quantities()[quantity].label.en} (`{quantity}`) | {quantities()[quantity].unit} | ")
            parts.append(f"{', '.join(channels)} |\n")
        parts += [f"\n- {caveat}" for caveat in profile.caveats]
        parts += [f"\n- Source: {s.what}: {s.where} ({s.retrieved})" for s in profile.sources]
        parts.append("\n")
    return "".join(parts)


def measurement_table() -> str:
    """Write the table of measurements."""
    table = measurements()
    parts = [NOTE, "# Measurements\n\nWhat the store holds. Times are UTC.\n\n## Readings\n\n"]
    parts.append(f"Tags: {', '.join(f'`{tag}`' for tag in table.readings.tags)} (those that a reading has).\n")
    parts.append("Fields: one number per quantity, and `q` (the flags) where any is set. Units in brackets.\n")
    common = ", ".join(f"`{field}` ({quantities()[field].unit})" for field in table.readings.common)
    parts.append(f"Every one of them may also hold: {common}.\n")
    parts.append(
        "`<name>_suspect` holds readings that cannot be believed.\n\n| measurement | fields |\n| --- | --- |\n"
    )
    for name, fields in table.readings.measurements.items():
        parts.append(f"| `{name}` | {', '.join(f'`{field}` ({quantities()[field].unit})' for field in fields)} |\n")
    parts.append("\n## Derived\n\n| measurement | tags | fields |\n| --- | --- | --- |\n")
    for name, derived in table.derived.items():
        fields_text = ", ".join(f"`{field}` ({kind})" for field, kind in derived.fields.items())
        parts.append(f"| `{name}` | {', '.join(f'`{tag}`' for tag in derived.tags)} | {fields_text} |\n")
    return "".join(parts)


PAGES = {"configuration.md": configuration, "devices.md": devices, "measurements.md": measurement_table}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (HERE / page).write_text(write(), encoding="utf-8")
        sys.stdout.write(f"docs/{page}\n")
