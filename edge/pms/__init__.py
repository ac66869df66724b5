"""Particulate and CO2 sensors on a serial line: SDS011, PMSx003, SPS30, MH-Z19B, HPMA115 and their like."""
