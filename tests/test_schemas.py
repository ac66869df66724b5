"""The JSON Schemas for editors: made from the structs, and agreeing with them."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from base import strict_yaml
from edge.modbus import driver
from wire import profile as profiles

import towns

ROOT = Path(__file__).parent.parent
SCHEMAS = sorted((ROOT / "docs" / "schemas").glob("*.json"))


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((ROOT / "docs" / "schemas" / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def _value(text: str) -> Any:  # noqa: ANN401 - whatever a file holds
    return strict_yaml.parse(text.encode(), Path("file.yaml")).value


@pytest.mark.slow
def test_schemas_are_up_to_date(tmp_path: Path) -> None:
    """Whoever changes a setting or the form of a profile runs `make docs`."""
    script = tmp_path / "schemas.py"
    script.write_text((ROOT / "docs" / "schemas.py").read_text())
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    written = {file.name: file.read_text() for file in (tmp_path / "schemas").iterdir()}
    assert written == {file.name: file.read_text() for file in SCHEMAS}, "run `make docs`"


@pytest.mark.parametrize("name", profiles.names())
def test_every_profile_fits_its_schema(name: str) -> None:
    """An editor underlines nothing in what we ship."""
    _validator("profile.json").validate(profiles.load_document(name).value)


def test_what_the_tests_take_for_right_fits() -> None:
    """Town, sites, gateway and the driver's sample."""
    _validator("town.json").validate(_value(towns.TOWN))
    _validator("sites.json").validate(_value(towns.SITES))
    _validator("gateway.json").validate(_value(towns.GATEWAY))
    sample = strict_yaml.load(Path(driver.__file__).parent / "sample.yaml").value
    _validator("gateway.json").validate({"gateway": "gw", "mqtt": {"host": "h"}, **sample})


WRONG = [
    ("gateway.json", towns.GATEWAY, "unit: 1", "unit: one"),
    ("gateway.json", towns.GATEWAY, "driver: modbus", "driver: mbus"),
    ("gateway.json", towns.GATEWAY, "site: school, ", ""),
    ("gateway.json", towns.GATEWAY, "host:", "hosts:"),
    ("sites.json", towns.SITES, "sector: industry", "sector: industrie"),
    ("town.json", towns.TOWN, "name:", "nahme:"),
]


@pytest.mark.parametrize(("schema", "text", "old", "new"), WRONG)
def test_what_check_refuses_by_form_the_schema_refuses(schema: str, text: str, old: str, new: str) -> None:
    """A wrong type, an unknown key or word, a missing key."""
    assert old in text
    with pytest.raises(jsonschema.ValidationError):
        _validator(schema).validate(_value(text.replace(old, new, 1)))


def test_a_broken_profile_does_not_fit() -> None:
    """An unknown register type, and a key that nobody knows."""
    good = profiles.load_document("eastron/sdm630")
    for old, new in (("type: float32", "type: float31"), ("address:", "adress:")):
        text = good.file.read_text().replace(old, new, 1)
        with pytest.raises(jsonschema.ValidationError):
            _validator("profile.json").validate(_value(text))
