"""A chaos run that cannot recover, or cannot read back, says so and all that it knows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import pytest

from simulator import generate, watch
from simulator.chaos import report
from simulator.chaos.inflict import Inflictor
from simulator.chaos.plant import Size
from simulator.chaos.runner import Run
from simulator.chaos.view import PlainView
from simulator.processes import DemoError

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.chaos.report import Report

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _run(directory: Path) -> Report:
    """Six seconds of one agent on what every machine has."""
    size = Size(generate.town(1, 2), 1, "amqtt", "embedded")
    return asyncio.run(Run(directory, size, 5, 0.1, ("kill",), [], PlainView(to_stderr=True)).run())


def test_a_run_that_does_not_recover_ends_with_table_and_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrived all the same is counted; the verdict is not `whole` however good the numbers are."""

    async def fail(*_: object) -> NoReturn:
        raise DemoError("gw-001 cannot be asked to send again")

    monkeypatch.setattr(Inflictor, "settle", fail)
    found = _run(tmp_path)
    assert (found.verdict, found.troubles) == ("broken", ["gw-001 cannot be asked to send again"])
    assert found.account is not None
    assert found.account.made > 0
    lines = report.table(found)
    assert "trouble: gw-001 cannot be asked to send again" in lines
    assert any(line.startswith("made ") for line in lines)


def test_a_store_that_cannot_be_read_back_leaves_the_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any number: none is known."""

    async def fail(*_: object) -> NoReturn:
        raise DemoError("the store does not answer")

    monkeypatch.setattr(watch, "read_store", fail)
    found = _run(tmp_path)
    assert (found.account, found.verdict, found.troubles) == (None, "broken", ["the store does not answer"])
    lines = report.table(found)
    assert "trouble: the store does not answer" in lines
    assert not any(line.startswith("unaccounted") for line in lines)
