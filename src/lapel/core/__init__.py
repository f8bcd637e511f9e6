"""Floor 0: the nouns and the arithmetic every other room builds on. Imports nothing from Lapel."""
