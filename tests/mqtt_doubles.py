"""A broker that a test scripts packet by packet, for what a real one does not do on request."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from queue import Queue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ = 1, 3, 8, 12
ACCEPT_5 = b"\x20\x03\x00\x00\x00"
PINGRESP = b"\xd0\x00"
ACCEPT_311 = b"\x20\x02\x00\x00"
PATIENCE_S = 20.0


class Client:
    """One connection that a client has made."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.settimeout(PATIENCE_S)
        self.connect = self.read(CONNECT)
        """Body of its CONNECT, with user and password in it."""
        self.level = self.connect[6]
        """Protocol level of its CONNECT: 4 for MQTT 3.1.1, 5 for MQTT 5."""

    def read(self, kind: int) -> bytes:
        """Body of the next packet of a kind; others before it are passed over."""
        while True:
            first = self._exactly(1)[0]
            length, shift, more = 0, 0, True
            while more:
                byte = self._exactly(1)[0]
                length, shift, more = length | (byte & 0x7F) << shift, shift + 7, bool(byte & 0x80)
            body = self._exactly(length)
            if first >> 4 == kind:
                return body

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise ConnectionError("the client has hung up")
            data += more
        return data

    def send(self, packet: bytes) -> None:
        """Send a packet."""
        self._socket.sendall(packet)

    def accept(self) -> None:
        """Answer its CONNECT kindly."""
        self.send(ACCEPT_5 if self.level == 5 else ACCEPT_311)

    def grant(self, *codes: int) -> None:
        """Answer its SUBSCRIBE, a code for each topic (one, unless given); codes from 0x80 refuse it."""
        packet_id = self.read(SUBSCRIBE)[:2]
        properties = b"\x00" if self.level == 5 else b""
        body = packet_id + properties + bytes(codes or (1,))
        self.send(b"\x90" + bytes([len(body)]) + body)

    def answer_pings(self) -> None:
        """Answer each PINGREQ, and nothing else, until the client hangs up."""
        while True:
            self.read(PINGREQ)
            self.send(PINGRESP)

    def wait_until_gone(self) -> None:
        """Return once the client has hung up."""
        while self._socket.recv(4096):
            pass


class FakeBroker:
    """Listens on a free port; the n-th connection is played by the n-th script, later ones by the last.

    `clients` holds the protocol level of each connection; `faults` what a script ran into.
    """

    def __init__(self, scripts: Sequence[Callable[[Client], None]]) -> None:
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.levels: Queue[int] = Queue()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
            with closing(connection):
                try:
                    client = Client(connection)
                    self.levels.put(client.level)
                    script(client)
                except OSError:
                    continue

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE_S)
