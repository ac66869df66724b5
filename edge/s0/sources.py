"""Where pulses come from: a pin of the machine, or a counter of the kernel."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from base.errors import TransientError
from edge.s0.pulses import Edge, PulseFilter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_EVENTS = 1024
"""Edges that the kernel keeps while the agent is busy: half a minute of the fastest meter."""


class Pin(NamedTuple):
    """A line of a GPIO chip, and how it is set."""

    chip: str
    line: str
    """Its number on the chip, or its name."""
    bias: Literal["pull-up", "pull-down", "none"] = "pull-up"
    is_active_low: bool = True
    debounce_ms: float = 2.0
    shortest_ms: float = 20.0

    def __str__(self) -> str:
        return f"{self.chip}:{self.line}"


class PulseSource(Protocol):
    """Counts pulses from when it was opened."""

    def open(self) -> None:
        """Begin to count; harmless where it counts already.

        Raises: TransientError where that fails.
        """

    def raw(self) -> int:
        """Return where the count stands.

        Raises: TransientError where nobody knows.
        """

    def modulus(self) -> int | None:
        """Return where the count starts over; None where it begins at 0 with each `open` of the process."""

    def disturbances(self) -> int:
        """Return how many disturbances there were."""

    def close(self) -> None:
        """Let go of it."""


class PinSource:
    """Counts edges of a pin by the kernel's character device: both edges, with the kernel's debouncing and times."""

    def __init__(self, pin: Pin, request: Callable[[Pin], Any] | None = None) -> None:
        """`request`: another way to get the line, for tests."""
        self._pin = pin
        self._get = request or _request
        self._filter = PulseFilter(round(pin.shortest_ms * 1e6))
        self._request: Any = None
        self._fd = -1

    def open(self) -> None:
        """Get the line and listen to it."""
        if self._request is not None:
            return
        try:
            self._request = self._get(self._pin)
        except (OSError, ValueError) as error:
            raise TransientError(f"{self._pin}: {_why(error)}") from error
        self._fd = self._request.fd
        self._filter.broken()
        asyncio.get_running_loop().add_reader(self._fd, self._take)

    def raw(self) -> int:
        """Return the pulses since this process began, over losses of the line."""
        return self._filter.pulses

    def modulus(self) -> int | None:
        """None: it begins at 0."""
        return None

    def disturbances(self) -> int:
        """Return spikes and lost edges."""
        return self._filter.spikes + self._filter.lost

    def close(self) -> None:
        """Give the line back."""
        request, self._request = self._request, None
        if request is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            with contextlib.suppress(OSError):
                request.release()

    def _take(self) -> None:
        try:
            events = self._request.read_edge_events(MOST_EVENTS)
        except OSError:
            self.close()
            return
        for event in events:
            is_active = event.event_type is event.Type.RISING_EDGE
            self._filter.take(Edge(is_active, event.timestamp_ns, event.line_seqno))


class KernelSource:
    """Reads a counter of the kernel's counter subsystem: `/sys/bus/counter/devices/counter0/count0/count`."""

    def __init__(self, path: Path, bits: int) -> None:
        """`bits`: of the counter, where it has no `ceiling`."""
        self._path, self._bits = path, bits
        self._modulus = 0

    def open(self) -> None:
        """See that it is there, and counts."""
        enable = self._path.with_name("enable")
        if enable.exists() and _number(enable) == 0:
            raise TransientError(f"{self._path}: the counter is switched off; write 1 into {enable}")
        ceiling = self._path.with_name("ceiling")
        highest = _number(ceiling) if ceiling.exists() else 0
        self._modulus = highest + 1 if highest else 1 << self._bits

    def raw(self) -> int:
        """Return where it stands."""
        return _number(self._path) % (self._modulus or 1 << self._bits)

    def modulus(self) -> int | None:
        """Return where it starts over."""
        return self._modulus or 1 << self._bits

    def disturbances(self) -> int:
        """None is known."""
        return 0

    def close(self) -> None:
        """Nothing is open."""


def _number(path: Path) -> int:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise TransientError(f"{path}: not readable ({why})") from error
    if not text.isdigit() or len(text) > 20:
        raise TransientError(f"{path}: holds no number")
    return int(text)


def _request(pin: Pin) -> Any:  # noqa: ANN401 - gpiod ships no types
    from datetime import timedelta  # noqa: PLC0415

    import gpiod  # noqa: PLC0415 - loaded with the first pin
    from gpiod import line as lines  # noqa: PLC0415 - likewise

    bias = {"pull-up": lines.Bias.PULL_UP, "pull-down": lines.Bias.PULL_DOWN, "none": lines.Bias.AS_IS}[pin.bias]
    settings = gpiod.LineSettings(
        edge_detection=lines.Edge.BOTH,
        bias=bias,
        active_low=pin.is_active_low,
        debounce_period=timedelta(milliseconds=pin.debounce_ms),
    )
    line: int | str = int(pin.line) if pin.line.isdigit() else pin.line
    return gpiod.request_lines(pin.chip, consumer="messnetz", config={line: settings}, event_buffer_size=MOST_EVENTS)


def _why(error: Exception) -> str:
    reasons = {
        2: "there is no such chip",
        13: "no right to use it; put the agent's user into the group 'gpio'",
        16: "another program has this line",
        22: "there is no such line, or it cannot be set so",
    }
    code = getattr(error, "errno", None)
    return reasons.get(code or 0) or getattr(error, "strerror", None) or str(error)
