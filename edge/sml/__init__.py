"""SML: what electricity meters in Germany say through their optical heads, by themselves, every second or so."""
