"""NMEA 0183: weather stations, echo sounders and receivers of positions that speak as ships' instruments do."""
