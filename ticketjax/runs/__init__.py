"""Runs: what is fixed, one run as pure functions, grids of them in compiled programs."""
