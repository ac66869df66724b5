"""Radar traffic counters that report on a serial line, as OmniPreSense's OPS243: counted here, no passage leaves."""
