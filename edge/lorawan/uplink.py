"""One message of a LoRaWAN device, wherever it came from: our own network server, ChirpStack or The Things Stack."""

from __future__ import annotations

from typing import NamedTuple


class Radio(NamedTuple):
    """How the best of the receptions was heard. None where the source does not say."""

    rssi_dbm: float | None = None
    snr_db: float | None = None
    spreading_factor: int | None = None
    """7 to 12; None also for FSK and LR-FHSS."""
    bandwidth_hz: int | None = None
    frequency_hz: int | None = None
    coding_rate: str | None = None
    """As `4/5`."""
    receptions: int = 1
    """Concentrators that heard it."""


class Uplink(NamedTuple):
    """One application message, decrypted."""

    dev_eui: str
    """16 hexadecimal digits, lower case."""
    f_port: int
    f_cnt: int
    """32 bits wide."""
    payload: bytes
    """The decrypted FRMPayload; empty where the device sent none."""
    received_at_ms: int | None = None
    """Unix time at which the network received it; None where it does not say: then it is now."""
    radio: Radio = Radio()
    is_confirmed: bool = False
    session: str = ""
    """Tells one session of a device from the next (its DevAddr): a counter that starts anew after a join is no loss."""
    consumed_airtime_s: float | None = None
    """Where the network says it; else it is worked out of the radio parameters and the length on the air."""
    size: int | None = None
    """Octets of the PHYPayload, where known."""
