"""The agent on the Pi: schedule, clock, spool, uplink, status. Decodes no protocol."""
