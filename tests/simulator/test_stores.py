"""What `--store` may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator import stores

DIRECTORY = Path("/town")


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("embedded", {"embedded": {"path": "/town/store.sqlite"}}),
        ("influx1:http://127.0.0.1:8086", {"influx1": {"url": "http://127.0.0.1:8086", "database": "messnetz"}}),
        ("influx1:http://db:8086/town/", {"influx1": {"url": "http://db:8086", "database": "town"}}),
        ("influx2:https://db", {"influx2": {"url": "https://db", "org": "messnetz", "bucket": "messnetz"}}),
        ("influx2:http://db:8086/city/demo", {"influx2": {"url": "http://db:8086", "org": "city", "bucket": "demo"}}),
    ],
)
def test_a_store_becomes_the_collectors_section(text: str, section: dict[str, dict[str, str]]) -> None:
    """Names in the URL's path win over the default."""
    assert stores.parse(text).section(DIRECTORY) == section


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sqlite",
        "influx3:http://db",
        "influx1",
        "influx1:db:8086",
        "influx1:http://",
        "influx1:http://db:0",
        "influx1:http://db:notaport",
        "influx1:http://db/a/b",
        "influx2:http://db/a",
        "influx2:http://db/a/b/c",
        "influx1:http://user:secret@db",
        "influx1:http://db?token=secret",
        "influx1:ftp://db",
    ],
)
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    """Secrets in a URL among it: they would end in a file."""
    with pytest.raises(ValueError, match=r"is none of|is no address|may name"):
        stores.parse(text)
