"""Servers that tests and benchmarks run on this machine in the place of those on the internet."""
