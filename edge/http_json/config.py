"""An HTTP bus in a gateway's file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec

from edge.json_source.profile import JsonDevice
from wire.ids import END, Id

if TYPE_CHECKING:
    from base.strict_yaml import Document, Path_

_URL = re.compile(
    r"^(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?P<base>(/[^\s?#\\]*)?)\Z"
)
HeaderName = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}" + END, description="the name of a header")
]


class HttpJsonBusConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One server that is asked for JSON, and the devices behind it."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["http_json"]
    """What asks."""
    url: str
    """`https://HOST`, `http://HOST:PORT/BEGINNING`: before the path that the profile has. Certificates are verified."""
    ca: str | None = None
    """Path of the certificate (PEM) of the authority that signed the server's; those of this machine unless set."""
    user: str | None = None
    """Our name there, with `password_file` (HTTP Basic)."""
    password_file: str | None = None
    """A file with mode 0600 that holds the password alone."""
    bearer_file: str | None = None
    """A file with mode 0600 that holds a token: `Authorization: Bearer`."""
    header_files: dict[HeaderName, str] = {}
    """Header -> a file with mode 0600 that holds its value: `{X-Api-Key: /etc/messnetz/telraam.key}`."""
    timeout_s: Annotated[float, msgspec.Meta(ge=0.5, le=60)] = 10.0
    """How long one answer may take, as a whole."""
    devices: Annotated[list[JsonDevice], msgspec.Meta(min_length=1)]
    """What is asked for. Devices with one path share an answer."""

    def __post_init__(self) -> None:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("both of 'user' and 'password_file', or neither")
        if self.user is not None and self.bearer_file is not None:
            raise ValueError("one of 'user' and 'bearer_file'")


class Server(NamedTuple):
    """Whom to ask, and how."""

    scheme: str
    host: str
    port: int
    base: str
    """Beginning of every path; empty, or without a slash at its end."""
    timeout_s: float
    ca: str | None = None
    user: str | None = None
    secrets: tuple[tuple[str, str], ...] = ()
    """What is secret -> its file: `password`, `bearer`, or the name of a header with a colon behind it."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.base}"

    @property
    def authority(self) -> str:
        """Host, and the port where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def server_of(document: Document, path: Path_, config: HttpJsonBusConfig) -> Server:
    """Take the URL of a bus apart.

    Raises: ConfigError at the line that is wrong.
    """
    match = _URL.match(config.url)
    if match is None or not 0 < int(match["port"] or 1) < 65536:
        expected = "https://HOST, http://HOST:PORT/BEGINNING, without user, password and '?'"
        raise document.error((*path, "url"), repr(config.url), expected)
    if match["scheme"] == "http" and config.ca is not None:
        raise document.error((*path, "ca"), "'ca' with http://", "it with https:// only")
    usual = 443 if match["scheme"] == "https" else 80
    named = (("password", config.password_file), ("bearer", config.bearer_file))
    secrets = [(name, file) for name, file in named if file is not None]
    secrets += [(f"{name}:", file) for name, file in config.header_files.items()]
    return Server(
        match["scheme"],
        match["host"].strip("[]").lower(),
        int(match["port"] or usual),
        match["base"].rstrip("/"),
        config.timeout_s,
        config.ca,
        config.user,
        tuple(secrets),
    )
