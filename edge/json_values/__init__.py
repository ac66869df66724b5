"""Values out of JSON: where they stand, and which readings they are. A codec of LoRaWAN, a broker, a server gave it."""
