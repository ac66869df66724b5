"""Every length on the wire is bounded; beyond a bound a message is refused, never trimmed."""

from __future__ import annotations

MAX_HEADER_BYTES = 512
MAX_PAYLOAD_BYTES = 256 * 1024
"""One MQTT message, header line included."""
MAX_PACK_BYTES = 2 * 1024 * 1024
"""One pack after decompression."""
MAX_PACK_READINGS = 10_000
MAX_NAME_BYTES = 160
"""`<device>/<quantity>/<channel>` of one record."""
MAX_TIME_MS = (2**63 - 1) // 1_000_000 - 1
"""In the year 2262; a later time does not fit into a store's 64-bit nanoseconds."""
MAX_FLAGS = 2**53
"""Bits of later releases included; a store keeps flags as a float."""
MAX_CONFIRM_RANGES = 1_000
MAX_REASON_CHARS = 300
MAX_COMMAND_BYTES = 4096
"""One command with its signature."""
MAX_COMMAND_LIFE_MS = 7 * 86_400_000
"""From when a command is issued until it expires; a gateway remembers its id for so long."""
MAX_MAINTENANCE_MS = 90 * 86_400_000
MAX_DOWNLINK_BYTES = 242
"""What LoRaWAN carries in one frame at most."""
