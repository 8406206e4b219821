"""Benchmarks: how fast the benchmark runs, against its peers and against the machine."""
