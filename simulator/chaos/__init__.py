"""Chaos: the whole chain from real processes, a seeded schedule of faults, and the account of every reading.

`schedule` says what happens when, `plant` is the chain, `inflict` breaks it and mends it, `runner` does the one to the
other, and `report` says what became of every reading.
"""
