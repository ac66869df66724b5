"""S0 pulses of meters: counted on a pin, or by a counter of the kernel."""
