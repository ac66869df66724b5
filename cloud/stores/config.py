"""Which store: one of three, by the key that stands under `store`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import msgspec

from base.errors import PermanentError
from base.secrets import read_secret

if TYPE_CHECKING:
    from pathlib import Path

    from cloud.stores.interface import Store

TOKEN_VARIABLE = "MESSNETZ_INFLUX_TOKEN"  # noqa: S105 - the name of a variable

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/@\s]+[^@\s]*$")]
"""`http://` or `https://`, without a password in it: those come from files."""
Database = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
Bucket = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)?$")]


class EmbeddedConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A SQLite file of our own: no server at all."""

    path: Annotated[str, msgspec.Meta(min_length=1)]
    """The file, relative to the configuration's directory; the collector makes it."""

    def open(self, base_dir: Path) -> Store:
        """Make this store."""
        from cloud.stores.embedded import EmbeddedStore  # noqa: PLC0415 - each store loads what it alone needs

        return EmbeddedStore(base_dir / self.path)


class Influx1Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """InfluxDB 1.x, as Debian packages it."""

    url: Url
    """Where its HTTP interface is: `http://127.0.0.1:8086`."""
    database: Database = "messnetz"
    """Name of the database; made where it is missing and the user may."""
    user: str | None = None
    """With `password_file`; neither where InfluxDB asks for none."""
    password_file: str | None = None
    """A file with mode 0600 that holds the password alone; relative to the configuration's directory."""

    def __post_init__(self) -> None:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("both of 'user' and 'password_file', or neither")

    def open(self, base_dir: Path) -> Store:
        """Make this store."""
        from cloud.stores.influx1 import Influx1Store  # noqa: PLC0415 - urllib3

        password = read_secret(base_dir / self.password_file) if self.password_file else None
        return Influx1Store(self.url, self.database, user=self.user, password=password)


class Influx2Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """InfluxDB 2.x; 3 Core within its limits."""

    url: Url
    """Where its HTTP interface is: `http://127.0.0.1:8086`."""
    org: Annotated[str, msgspec.Meta(min_length=1)]
    """Name of the organisation."""
    bucket: Bucket
    """Name of the bucket, as `bucket` or `database/policy`."""
    token_file: str | None = None
    """A file with mode 0600 that holds the token alone; without it MESSNETZ_INFLUX_TOKEN holds it."""

    def open(self, base_dir: Path) -> Store:
        """Make this store."""
        from cloud.stores.influx2 import Influx2Store  # noqa: PLC0415 - influxdb_client, 16 MB

        return Influx2Store(self.url, self.org, self.bucket, self._token(base_dir))

    def _token(self, base_dir: Path) -> str:
        if self.token_file is not None:
            return read_secret(base_dir / self.token_file, "the token")
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            raise PermanentError(f"no token for {self.url}: set 'token_file', or {TOKEN_VARIABLE} in the environment")
        return token


class StoreConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Exactly one store."""

    embedded: EmbeddedConfig | None = None
    """SQLite, without a server: one school, a trial."""
    influx1: Influx1Config | None = None
    """InfluxDB 1.x."""
    influx2: Influx2Config | None = None
    """InfluxDB 2.x."""

    def __post_init__(self) -> None:
        if len(self._given()) != 1:
            raise ValueError("exactly one of 'embedded', 'influx1', 'influx2'")

    def open(self, base_dir: Path) -> Store:
        """Make the store that is configured."""
        return self._given()[0].open(base_dir)

    def _given(self) -> list[EmbeddedConfig | Influx1Config | Influx2Config]:
        return [store for store in (self.embedded, self.influx1, self.influx2) if store is not None]


def missing_file(config: StoreConfig, base_dir: Path) -> Path | None:
    """Return the file of a store that is one and has not been made yet; None for any other."""
    if config.embedded is None:
        return None
    file = base_dir / config.embedded.path
    return None if file.exists() else file


def open_store(config: StoreConfig, base_dir: Path) -> Store:
    """Make the store that is configured; nothing is reached for before its `prepare`.

    Raises: ConfigError for a secret's file that is missing or open to others; PermanentError where there is no
    token, or where a package that this store needs is not installed.
    """
    try:
        return config.open(base_dir)
    except ModuleNotFoundError as error:
        raise PermanentError(f"this store needs {error.name}: pip install 'messnetz[cloud]'") from error
