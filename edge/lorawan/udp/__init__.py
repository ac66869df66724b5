"""The driver `lorawan_udp`: a concentrator on the gateway itself, and a small network server behind it."""
