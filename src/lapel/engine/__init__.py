"""Floor 2, the product: a store that agrees with itself, filling it, and searching it."""
