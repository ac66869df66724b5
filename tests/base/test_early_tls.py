"""TLS while the clock cannot be right: who is trusted otherwise is still trusted, and nobody else."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lacking import lacking

from base import early_tls
from base.broker import MqttConfig, TlsConfig
from base.mqtt import Connection, Handlers

from servers import HOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import Mosquitto

pytestmark = [
    pytest.mark.slow,
    # paho leaves the socket of a failed handshake to the collector
    pytest.mark.filterwarnings("ignore:.*Socket"),
]
DAY_S = 86_400
PATIENCE_S = 20.0


class Pki:
    """A CA, and what it signed: certificates that end so many days from now."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()
        new = ["-newkey", "rsa:2048", "-nodes", "-keyout", self["ca.key"]]
        self._run("req", "-x509", *new, "-subj", "/CN=ca", "-days", "30", "-out", self["ca.crt"])

    def __getitem__(self, name: str) -> str:
        return str(self._directory / name)

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)

    def sign(self, name: str, days: int = 2, san: str = f"IP:{HOST}") -> None:
        """Make a key and a certificate."""
        new = ["-newkey", "rsa:2048", "-nodes", "-keyout", self[f"{name}.key"], "-subj", f"/CN={name}"]
        self._run("req", *new, "-out", self["csr"])
        Path(self["ext"]).write_text(f"subjectAltName={san}\n")
        ca = ["-CA", self["ca.crt"], "-CAkey", self["ca.key"], "-CAcreateserial", "-days", str(days)]
        self._run("x509", "-req", "-in", self["csr"], *ca, "-extfile", self["ext"], "-out", self[f"{name}.crt"])


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """A CA of this test."""
    if shutil.which("openssl") is None:
        lacking("no openssl here: apt-get install openssl")
    return Pki(tmp_path / "pki")


@pytest.fixture
def is_trusted(pki: Pki, make_mosquitto: Callable[..., Mosquitto]) -> Callable[..., bool]:
    """Tell whether a broker that has the certificate `server` is connected to, or refused for its certificate."""
    pki.sign("gw")

    def ask(ca: Pki = pki) -> bool:
        own = [f"cafile {pki['ca.crt']}", f"certfile {pki['server.crt']}", f"keyfile {pki['server.key']}"]
        broker = make_mosquitto(settings=own)
        is_connected = threading.Event()
        config = MqttConfig(HOST, broker.port, tls=TlsConfig(ca["ca.crt"], pki["gw.crt"], pki["gw.key"]))
        connection = Connection(config, "gw", Handlers(is_connected.set, lambda _: None, lambda *_: None))
        connection.start()
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_connected.wait(0.05) and "certificate verify failed" not in connection._reason:
            assert time.monotonic() < deadline_s, connection._reason
        connection.stop()
        return is_connected.is_set()

    return ask


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believe that the clock is before the build date."""
    monkeypatch.setattr(early_tls, "is_needed", lambda: True)


def test_a_clock_that_may_be_right_judges_strictly(pki: Pki, is_trusted: Callable[..., bool]) -> None:
    """A certificate that ended yesterday opens nothing."""
    assert not early_tls.is_needed()
    pki.sign("server", days=-1)
    assert not is_trusted()


@pytest.mark.usefixtures("early")
def test_a_clock_that_cannot_be_right_judges_nothing_that_it_cannot_know(
    pki: Pki, is_trusted: Callable[..., bool]
) -> None:
    """By the clock of this machine the certificate is not valid; it had not ended by the build date."""
    pki.sign("server", days=-1)
    assert is_trusted()


@pytest.mark.usefixtures("early")
def test_a_certificate_that_had_ended_by_the_build_date_is_refused(
    pki: Pki, is_trusted: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So much is known. The release is one of next week here, since a certificate of 1970 is hard to make."""
    monkeypatch.setattr(early_tls, "BUILT_AT_S", time.time() + 7 * DAY_S)
    pki.sign("server", days=2)
    assert not is_trusted()


@pytest.mark.usefixtures("early")
def test_another_host_is_refused(pki: Pki, is_trusted: Callable[..., bool]) -> None:
    """The name is checked as ever."""
    pki.sign("server", san="DNS:broker.example")
    assert not is_trusted()


@pytest.mark.usefixtures("early")
def test_another_ca_is_refused(pki: Pki, is_trusted: Callable[..., bool], tmp_path: Path) -> None:
    """So is the chain."""
    pki.sign("server")
    assert not is_trusted(Pki(tmp_path / "other"))


def test_a_ca_that_had_ended_by_the_build_date_is_none(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would vouch for anybody."""
    assert len(early_tls.context(pki["ca.crt"]).get_ca_certs()) == 1
    monkeypatch.setattr(early_tls, "BUILT_AT_S", time.time() + 60 * DAY_S)
    with pytest.raises(ssl.SSLError, match="every CA"):
        early_tls.context(pki["ca.crt"])


@pytest.mark.parametrize(("now_s", "is_needed"), [(0.0, True), (early_tls.BUILT_AT_S, False)])
def test_the_wall_clock_decides(now_s: float, is_needed: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """1970 cannot be; the build date may."""
    monkeypatch.setattr(time, "time", lambda: now_s)
    assert early_tls.is_needed() == is_needed
