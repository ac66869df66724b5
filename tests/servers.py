"""Real servers for tests, each on a free loopback port with its files under one directory.

`start` returns when the server answers; `stop` ends it kindly, `kill` does not. After either it may be started
again on the same port with the same files. Nothing here is faked.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, ClassVar

from simulator.chaos import store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

HOST = "127.0.0.1"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02
LOG_TAIL_CHARS = 4000


class ServerError(Exception):
    """A server did not come up; the text holds the end of its log."""


def free_port() -> int:
    """A loopback port that nobody holds.

    It lies below 32768, from where Linux takes the ports of outgoing connections: so a server that was killed
    finds its port still free when it is started again.
    """
    while True:
        port = random.randrange(16_000, 32_000)  # noqa: S311 - no secret
        if _is_free(port):
            return port


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # what a killed server's clients left is no hindrance
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def find_program(name: str) -> str | None:
    """Path of a program; Debian keeps servers in /usr/sbin, which is not on everyone's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Server:
    """One server process. Subclasses say how it is started and how it shows that it is ready."""

    name: ClassVar[str]

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self.log_file = directory / "server.log"
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str | None:
        """What must be done before this server can be started; None where nothing is."""
        raise NotImplementedError

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        with socket.create_connection((HOST, self.port), timeout=1.0):
            return True

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """The end of what the server has logged so far."""
        text = self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        return text[-LOG_TAIL_CHARS:]

    def start(self) -> Self:
        """Start the server and wait until it answers.

        Raises: ServerError with its log where it ends or does not answer within 30 s.
        """
        assert not self.is_running, f"{self.name} is running already"
        if not _is_free(self.port):  # whoever holds it would answer in its stead
            raise ServerError(f"{self.name} cannot start: somebody else holds port {self.port}")
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if not self.is_running or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.name} did not come up on port {self.port}; its log:\n{self.log()}")
            time.sleep(POLL_S)
        return self

    def _answers(self) -> bool:
        try:
            return self._is_ready()
        except (OSError, http.client.HTTPException):
            return False

    def stop(self) -> None:
        """End the server with SIGTERM, and with SIGKILL where it takes over 10 s. Harmless if it is not running."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End the server with SIGKILL, as a power cut would. Harmless if it is not running."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class Mosquitto(Server):
    """The MQTT broker that towns run: anonymous, on loopback, without persistence.

    `settings` are further lines for its configuration file.
    """

    name = "mosquitto"

    def __init__(self, directory: Path, *, settings: Sequence[str] = ()) -> None:
        super().__init__(directory)
        lines = [
            f"listener {self.port} {HOST}",
            "allow_anonymous true",
            "persistence false",
            "user root",  # started by root it would become "mosquitto", who cannot read a test's directory
            "log_dest stderr",
            *settings,
        ]
        (directory / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    @classmethod
    def missing(cls) -> str | None:  # noqa: D102 - as Server's
        return None if find_program("mosquitto") else "no mosquitto here: apt-get install mosquitto influxdb"

    def _command(self) -> Sequence[str]:
        return [find_program("mosquitto") or "mosquitto", "-c", str(self.directory / "mosquitto.conf")]


def _get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection(HOST, port, timeout=2.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


class Influx1(Server):
    """InfluxDB 1.x as Debian packages it; every setting yields to an `INFLUXDB_<SECTION>_<KEY>` in `environment`."""

    name = "influxd 1.x"

    def __init__(self, directory: Path, *, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(directory, environment)
        store.configure(directory / "influxdb.conf", directory, self.port)

    @classmethod
    def missing(cls) -> str | None:  # noqa: D102 - as Server's
        return None if store.find_influx1() else "no influxd 1.x here: apt-get install mosquitto influxdb"

    @property
    def url(self) -> str:
        """Where its HTTP interface is."""
        return f"http://{HOST}:{self.port}"

    def _command(self) -> Sequence[str]:
        return [store.find_influx1() or "influxd", "run", "-config", str(self.directory / "influxdb.conf")]

    def _is_ready(self) -> bool:
        return _get(self.port, "/ping") == 204


class Influx2(Server):
    """InfluxDB 2.x, the binary that the environment variable INFLUXD names; set up with one org, bucket and token."""

    name = "influxd 2.x"
    org = "town"
    bucket = "messnetz"
    token = "token-of-the-tests"  # noqa: S105 - opens nothing but a server on loopback

    @classmethod
    def missing(cls) -> str | None:  # noqa: D102 - as Server's
        program = os.environ.get("INFLUXD")
        return None if program else "INFLUXD is not set: let it name an influxd 2.x binary"

    @property
    def url(self) -> str:
        """Where its HTTP interface is."""
        return f"http://{HOST}:{self.port}"

    def _command(self) -> Sequence[str]:
        return [
            os.environ["INFLUXD"],
            f"--bolt-path={self.directory / 'influxd.bolt'}",
            f"--sqlite-path={self.directory / 'influxd.sqlite'}",
            f"--engine-path={self.directory / 'engine'}",
            f"--http-bind-address={HOST}:{self.port}",
            "--reporting-disabled",
            "--log-level=warn",
        ]

    def _is_ready(self) -> bool:
        return _get(self.port, "/health") == 200

    def start(self) -> Self:
        """Start the server, wait until it answers, and set it up where that was not done before."""
        super().start()
        setup = {
            "username": "tests",
            "password": "password-of-the-tests",
            "org": self.org,
            "bucket": self.bucket,
            "token": self.token,
        }
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10.0)
        try:
            connection.request("POST", "/api/v2/setup", json.dumps(setup), {"Content-Type": "application/json"})
            status = connection.getresponse().status
        finally:
            connection.close()
        if status not in (201, 422):  # 422: it has been set up already
            self.kill()
            raise ServerError(f"{self.name} refused its setup with {status}; its log:\n{self.log()}")
        return self
