"""Modbus TCP and RTU: read only, function codes 1 to 4."""
