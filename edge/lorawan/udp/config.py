"""A LoRaWAN bus in a gateway's file: where concentrators report, and the devices that they hear."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from edge.lorawan.keys import DevEui
from wire.ids import END, Id
from wire.town import DeviceEntry

DEFAULT_LISTEN = "127.0.0.1:1700"
STATE_DIRECTORY = "/var/lib/messnetz"

Eui: TypeAlias = DevEui
"""Of a concentrator: written as a device's."""
NetId: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^0000[0-3][0-9a-fA-F]" + END,
        description="six hexadecimal digits in quotes, '000000' to '00003f' (NetIDs of type 0)",
    ),
]
DataRateName: TypeAlias = Literal["SF7", "SF8", "SF9", "SF10", "SF11", "SF12"]


class LorawanUdpDevice(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device that joins the bus's own network, or was given a session of it (ABP)."""

    dev_eui: DevEui
    """Its DevEUI, 16 hexadecimal digits, as on its label. Its keys stand in the bus's `keys`."""
    data_rate: DataRateName = "SF12"
    """The slowest spreading factor that it uses, for the check of its airtime: SF12, the slowest of all, unless its own
    settings hold it at another."""
    counter_reset: Literal["refuse", "accept"] = "refuse"
    """Whether a device without join may count its frames anew, as those do that forget their counter with the battery.
    `accept` lets whoever recorded its frames send them again: better let it join."""


class LorawanUdpBusConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One LoRaWAN network of its own: concentrators of one site that report by Semtech's packet forwarder."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["lorawan_udp"]
    """What speaks to the concentrators."""
    listen: str = DEFAULT_LISTEN
    """`HOST:PORT` where packet forwarders report (UDP). Their protocol knows no passwords: beyond this machine
    `concentrators` must list who is heard, and a firewall who may send."""
    concentrators: list[Eui] = []
    """EUIs of the concentrators that are heard; where none is listed, every one on this machine."""
    region: Literal["eu868"] = "eu868"
    """Channels and data rates."""
    net_id: NetId = "000000"
    """Of the network; `000000` is for private ones."""
    antenna_gain_dbi: Annotated[float, msgspec.Meta(ge=-10, le=20)] = 2.15
    """Of the concentrator's antenna, less the loss of its cable: what is sent stays within the law with it."""
    keys: str
    """The file with the devices' keys, mode 0600."""
    state: str | None = None
    """The file with sessions and counters; `/var/lib/messnetz/lorawan-<id>.sqlite` unless set. Lost, devices must join
    anew."""
    codecs: str | None = None
    """A directory with your own copy of a codec repository, for devices that name a `codec` in place of a profile;
    relative to this file."""
    devices: Annotated[list[LorawanUdpDevice], msgspec.Meta(min_length=1)]
    """What is heard. Others are ignored."""
