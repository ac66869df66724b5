"""npm's lora-packet, a second implementation of LoRaWAN, as a process of its own: its frames are none of ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing import Self

HERE = Path(__file__).parent / "lora-packet"


def cache() -> Path:
    """Where `tests/install-lora-packet` puts it."""
    usual = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MESSNETZ_TEST_CACHE") or Path(usual) / "messnetz-tests") / "lora-packet"


def missing() -> str | None:
    """What must be done before it can be used; None where nothing is."""
    if shutil.which("node") is None:
        return "no node: apt-get install nodejs npm, then tests/install-lora-packet"
    if not (cache() / "node_modules" / "lora-packet").is_dir():
        return "npm's lora-packet is not installed: run tests/install-lora-packet"
    return None


class Keys(NamedTuple):
    """What a session's frames are built with; hexadecimal."""

    dev_addr: str
    nwk_s_key: str
    app_s_key: str


class LoraPacket:
    """The process."""

    def __enter__(self) -> Self:
        environment = {**os.environ, "NODE_PATH": str(cache() / "node_modules")}
        self._process = subprocess.Popen(
            ["node", str(HERE / "frames.js")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)  # it ends with its input

    def _ask(self, what: str, **about: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"what": what, **about}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer
        return answer

    def join_request(self, app_key: str, dev_eui: str, dev_nonce: int, join_eui: str = "70b3d57ed0000000") -> bytes:
        """Build a join request."""
        answer = self._ask("join_request", app_key=app_key, join_eui=join_eui, dev_eui=dev_eui, dev_nonce=dev_nonce)
        return bytes.fromhex(answer["phy"])

    def open_accept(self, app_key: str, phy: bytes, dev_nonce: int) -> dict[str, Any]:
        """Open a join accept; with the keys that follow from it."""
        return self._ask("open_accept", app_key=app_key, phy=phy.hex(), dev_nonce=dev_nonce)

    def uplink(
        self,
        keys: Keys,
        f_cnt: int,
        payload: bytes = b"",
        *,
        f_port: int | None = 1,
        f_opts: bytes = b"",
        confirmed: bool = False,
        ack: bool = False,
        adr: bool = False,
        adr_ack_req: bool = False,
    ) -> bytes:
        """Build an uplink; its counter is 32 bits wide."""
        flags = {"confirmed": confirmed, "ack": ack, "adr": adr, "adr_ack_req": adr_ack_req}
        frame = {"f_cnt": f_cnt, "f_port": f_port, "payload": payload.hex(), "f_opts": f_opts.hex()}
        return bytes.fromhex(self._ask("uplink", **keys._asdict(), **frame, **flags)["phy"])

    def open_downlink(self, keys: Keys, phy: bytes) -> dict[str, Any]:
        """Check and decrypt a downlink."""
        return self._ask("open_downlink", nwk_s_key=keys.nwk_s_key, app_s_key=keys.app_s_key, phy=phy.hex())
