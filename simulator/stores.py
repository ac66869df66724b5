"""Where the demo's readings go: what `--store` may name, and the collector's section for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_NAME = "messnetz"
"""Database, organisation and bucket, unless the URL's path names others."""


class StoreChoice(NamedTuple):
    """A store for the demo."""

    kind: str
    """`embedded`, `influx1` or `influx2`."""
    url: str = ""
    path: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What a person calls it."""
        return {"embedded": "SQLite", "influx1": "InfluxDB 1", "influx2": "InfluxDB 2"}[self.kind]

    def section(self, directory: Path) -> dict[str, Any]:
        """The `store` section of a collector's configuration; an embedded store lies in `directory`."""
        if self.kind == "embedded":
            return {"embedded": {"path": str(directory / "store.sqlite")}}
        if self.kind == "influx1":
            (database,) = self.path or (DEFAULT_NAME,)
            return {"influx1": {"url": self.url, "database": database}}
        org, bucket = self.path or (DEFAULT_NAME, DEFAULT_NAME)
        return {"influx2": {"url": self.url, "org": org, "bucket": bucket}}


def parse(text: str) -> StoreChoice:
    """Read `embedded`, `influx1:URL[/DATABASE]` or `influx2:URL[/ORG/BUCKET]`.

    Raises: ValueError with a sentence that says what would be right.
    """
    if text == "embedded":
        return StoreChoice("embedded")
    kind, _, url = text.partition(":")
    names = {"influx1": 1, "influx2": 2}.get(kind)
    if names is None:
        raise ValueError(f"{text!r} is none of: embedded, influx1:URL, influx2:URL")
    parts = urlsplit(url)
    if not _is_plain(parts):
        raise ValueError(f"{url!r} is no address such as http://127.0.0.1:8086")
    path = tuple(part for part in parts.path.split("/") if part)
    if path and len(path) != names:
        raise ValueError(f"the path of {url!r} may name {'a database' if names == 1 else 'ORG/BUCKET'}, and no more")
    return StoreChoice(kind, f"{parts.scheme}://{parts.netloc}", path)


def _is_plain(parts: SplitResult) -> bool:
    """Whether a URL is scheme, host, port and path alone: a secret in it would end in a file."""
    try:
        port = parts.port
    except ValueError:
        return False
    is_reachable = parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
    return is_reachable and not (parts.username or parts.password or parts.query or parts.fragment)
