"""Turns devices into readings. Knows no uplink, no spool, no site."""
