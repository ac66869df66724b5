"""Fixtures for what the demo runs on."""

from __future__ import annotations

import pytest
from lacking import lacking

from simulator import broker


@pytest.fixture(params=["mosquitto", "amqtt"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each broker that a demo may use."""
    name = str(request.param)
    if name == "mosquitto" and broker.find_mosquitto() is None:
        lacking("no mosquitto here: apt-get install mosquitto")
    return name
