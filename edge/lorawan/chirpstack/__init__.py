"""ChirpStack v4, heard through its MQTT integration."""
