"""The demo town: simulated devices on real protocols, and the truth that they produced.

What a device sends is written down here a second time, apart from the profiles and the decoders that it is
there to test. Agents and collectors are started as processes; what a store holds is asked of
`messnetz cloud export --json`.
"""
