"""Sources that publish JSON, or single numbers, to a town's own broker."""
