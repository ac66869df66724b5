"""P1: the port for customers of meters in the Netherlands, Belgium and Luxembourg (DSMR 2.2 to 5)."""
