"""What JSON says: shared by the drivers that hear it from a broker and those that ask for it."""
