"""The entry script of the page."""
