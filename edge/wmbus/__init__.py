"""Wireless M-Bus (EN 13757-4 and -7, OMS): meters that send by themselves."""
