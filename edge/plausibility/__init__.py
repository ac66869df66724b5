"""Judges readings in the order in which a device gave them: nothing is dropped, what cannot be believed is flagged."""
