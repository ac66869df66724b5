"""Writes the JSON Schemas of `docs/schemas/` from the structs that decode the files, for editors and other programs.

`make docs` runs it; a test fails where a schema is not what it would write. A schema says what a file looks like;
`messnetz gateway check` and `town check` say whether it is right.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cloud.command import CommandFile
from cloud.config import CollectorFile
from cloud.town import TownFile
from edge import drivers
from edge.lorawan.profile import LorawanProfile
from gateway.config import GatewayFile
from wire.profile import OwnProfile
from wire.town import Site

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _anything(_kind: type) -> dict[str, Any]:
    """Say what may stand where only a driver knows: nothing here; `gateway` fills it in."""
    return {"description": "as its driver has it"}


def _schema(title: str, *kinds: Any) -> dict[str, Any]:  # noqa: ANN401 - any type that msgspec decodes
    """Build a schema of a file that is one of these kinds."""
    tops, components = msgspec.json.schema_components(kinds, schema_hook=_anything, ref_template="#/$defs/{name}")
    top = tops[0] if len(tops) == 1 else {"anyOf": list(tops)}
    return {"$schema": DIALECT, "title": title, **top, "$defs": components}


def gateway() -> dict[str, Any]:
    """Schema of `gateways/<id>.yaml`: the agent's part, with the buses of every driver."""
    schema = _schema("A gateway of a Messnetz town", GatewayFile)
    buses = _schema("", *(drivers.load(name).config for name in drivers.DRIVERS))
    schema["$defs"].update(buses["$defs"])
    items = {key: buses[key] for key in ("anyOf", "$ref") if key in buses}
    schema["$defs"]["GatewayFile"]["properties"]["buses"]["items"] = items
    return schema


def _profile_kinds() -> list[type]:
    kinds = (kind for name in drivers.DRIVERS for kind in drivers.load(name).profile_kinds())
    return list(dict.fromkeys([*kinds, LorawanProfile]))


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "gateway.json": gateway,
    "profile.json": lambda: _schema("A profile of a device", *_profile_kinds(), OwnProfile),
    "town.json": lambda: _schema("A Messnetz town", TownFile),
    "sites.json": lambda: _schema("The sites of a Messnetz town", dict[str, Site]),
    "collector.json": lambda: _schema("A collector", CollectorFile),
    "command.json": lambda: _schema("Who commands gateways", CommandFile),
}

if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for name, build in SCHEMAS.items():
        (HERE / name).write_text(json.dumps(build(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        sys.stdout.write(f"docs/schemas/{name}\n")
