"""The Things Stack v3 (The Things Network), heard through its MQTT server."""
