"""The contract between the edge and the cloud: words, bounds, and what passes over MQTT.

Opens no socket, and no file but its own data and the profiles.
"""
