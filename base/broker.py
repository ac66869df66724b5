"""Where the broker is, and who we are to it: the settings alone, without the library that connects."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from base import early_tls
from base.errors import ConfigError, Position
from base.secrets import read_secret

Host: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        # Python's $ also matches before a final line feed.
        pattern=r"^([^\s:/@\[\]]+|[0-9A-Fa-f]*:[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*(%[0-9A-Za-z_.-]+)?)$(?!\n)",
        description="the name or address of a host alone, without mqtt:// and without a port (which is `port`)",
    ),
]


class TlsConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Certificates of a mutual TLS connection (PEM files)."""

    ca: str
    """Path of the certificate of the authority that signed the broker's."""
    certificate: str
    """Path of our own certificate; brokers take its CN as our name."""
    key: str
    """Path of the key of our certificate, mode 0600, without a passphrase."""


class AnyTlsConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """TLS to a broker of others, which may know its users by name."""

    ca: str | None = None
    """Path of the certificates (PEM) of the authorities that may have signed the broker's; those of this machine unless
    set."""
    certificate: str | None = None
    """Path of our own certificate (PEM), where the broker wants one; with `key`."""
    key: str | None = None
    """Path of the key of our certificate, mode 0600, without a passphrase."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("both of 'certificate' and 'key', or neither")


class BrokerAddress(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where a broker is, and who we are to it."""

    host: Host
    """Name or address of the broker; with `tls` the name that its certificate has."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    """Port of the broker; 1883, with `tls` 8883, unless set."""
    user: str | None = None
    """Our name there, with `password_file`; where the broker knows its users by their certificates, neither."""
    password_file: str | None = None
    """A file with mode 0600 that holds the password, or the API key, alone."""
    tls: TlsConfig | AnyTlsConfig | None = None
    """Certificates; None for a plain connection."""
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 30
    """After one and a half times as long without a sign of life the broker hangs up."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """`auto` tries MQTT 5 first and stays with what the broker accepts."""

    def __post_init__(self) -> None:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("both of 'user' and 'password_file', or neither")

    def endpoint(self) -> tuple[str, int]:
        """Host and port to connect to."""
        return self.host, self.port or (1883 if self.tls is None else 8883)


class MqttConfig(BrokerAddress, forbid_unknown_fields=True, frozen=True):
    """The broker of the town."""

    tls: TlsConfig | None = None
    """Certificates; without them the connection is plain, for a machine's own loopback only."""


def read_credentials(config: BrokerAddress) -> tuple[str | None, ssl.SSLContext | None]:
    """Read password and certificates as they are now; they may be renewed at any time.

    Raises: ConfigError naming the file that is wrong.
    """
    password = read_secret(Path(config.password_file)) if config.password_file else None
    return password, _tls_context(config.tls) if config.tls else None


def _tls_context(config: TlsConfig | AnyTlsConfig) -> ssl.SSLContext:
    for file in filter(None, (config.ca, config.certificate, config.key)):
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise ConfigError(Position(Path(file)), f"no readable file ({error.strerror})", "a PEM file") from error
    try:
        if config.ca is not None and early_tls.is_needed():
            context = early_tls.context(config.ca)
        else:
            context = ssl.create_default_context(cafile=config.ca)
    except ssl.SSLError as error:
        raise ConfigError(Position(Path(config.ca or "")), "no certificates", "those of the CA (PEM)") from error
    if config.certificate is None or config.key is None:
        return context
    try:
        # Without a password of its own OpenSSL would ask for one at the terminal, where nobody sits.
        context.load_cert_chain(config.certificate, config.key, password="")
    except ssl.SSLError as error:
        found = f"a certificate that does not load with {config.key} ({error.reason or error})"
        expected = "a certificate and its key (PEM), the key without a passphrase"
        raise ConfigError(Position(Path(config.certificate)), found, expected) from error
    return context
