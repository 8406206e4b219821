"""Benchmarks: the library's speed compared with its peers and with the machine's limits."""
