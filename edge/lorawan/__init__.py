"""LoRaWAN: three sources, one device model, any codec."""
