"""One node: the composition root, and what it wires that belongs to no floor alone."""
