"""A Modbus server by libmodbus, the C library: a party that knows nothing of pymodbus or of us.

`python libmodbus_server.py tcp` or `... rtu PORT`, and as JSON on standard input {address: word} for holding and
input registers alike. Prints its TCP port (or 0) when it is ready; serves until it is killed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import socket
import sys

REGISTERS = 65_536
MAX_ADU = 260
NAME = "libmodbus.so.5"


class Mapping(ctypes.Structure):
    """`modbus_mapping_t` of libmodbus 3.1."""

    _fields_ = (
        ("nb_bits", ctypes.c_int),
        ("start_bits", ctypes.c_int),
        ("nb_input_bits", ctypes.c_int),
        ("start_input_bits", ctypes.c_int),
        ("nb_input_registers", ctypes.c_int),
        ("start_input_registers", ctypes.c_int),
        ("nb_registers", ctypes.c_int),
        ("start_registers", ctypes.c_int),
        ("tab_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_registers", ctypes.POINTER(ctypes.c_uint16)),
        ("tab_registers", ctypes.POINTER(ctypes.c_uint16)),
    )


def load() -> ctypes.CDLL:
    """Load the library. Raises: OSError where it is not installed (apt-get install libmodbus5)."""
    lib = ctypes.CDLL(NAME)
    for function in (lib.modbus_new_tcp, lib.modbus_new_rtu):
        function.restype = ctypes.c_void_p
    lib.modbus_mapping_new.restype = ctypes.POINTER(Mapping)
    return lib


def serve(kind: str, port: str) -> None:
    """Serve one client after the other."""
    lib = load()
    mapping = lib.modbus_mapping_new(0, 0, REGISTERS, REGISTERS)
    for address, word in json.load(sys.stdin).items():
        mapping.contents.tab_registers[int(address)] = word
        mapping.contents.tab_input_registers[int(address)] = word
    if kind == "tcp":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            number = probe.getsockname()[1]
        context = ctypes.c_void_p(lib.modbus_new_tcp(b"127.0.0.1", number))
        listener = ctypes.c_int(lib.modbus_tcp_listen(context, 1))
    else:
        number = 0
        context = ctypes.c_void_p(lib.modbus_new_rtu(port.encode(), 9600, ctypes.c_char(b"N"), 8, 1))
        lib.modbus_set_slave(context, 1)
        if lib.modbus_connect(context) != 0:
            sys.exit(f"libmodbus cannot open {port}")
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
    request = (ctypes.c_uint8 * MAX_ADU)()
    while True:
        if kind == "tcp":
            lib.modbus_tcp_accept(context, ctypes.byref(listener))
        while (length := lib.modbus_receive(context, request)) >= 0:
            if length > 0:
                lib.modbus_reply(context, request, length, mapping)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
