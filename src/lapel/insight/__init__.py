"""Floor 3, questions about the whole catalogue: how well the engine finds what it should."""
