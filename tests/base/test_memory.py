"""Free memory goes back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from base import memory

CODE = """
import threading
from base.memory import hold_little
hold_little()
hold = lambda: [bytes(50_000) for _ in range(400)]  # 20 MB, each below glibc's own threshold of 128 kB
thread = threading.Thread(target=hold)
thread.start()
thread.join()
status = open("/proc/self/status").read().split()
peak, now = (int(status[status.index(name) + 1]) for name in ("VmHWM:", "VmRSS:"))
print(peak - now)
"""


@pytest.mark.slow
def test_what_a_thread_has_used_goes_back() -> None:
    """To the last few megabytes of twenty."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 15_000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is nothing to set, nothing happens."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    memory.hold_little()
