"""What both kinds of protocol half have in common: how a model is talked to over Modbus."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from edge.modbus.config import SerialSettings

Address: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65535)]
FunctionCode: TypeAlias = Literal[1, 2, 3, 4]


class Half(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the Modbus driver must know of any model."""

    function_code: FunctionCode
    max_registers: Annotated[int, msgspec.Meta(ge=1, le=125)] = 125
    """Most registers in one request."""
    turnaround_s: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.0
    """What the model needs after an answer before it hears the next request, beyond the 3.5 characters of the norm."""
    settings: SerialSettings = SerialSettings()
