"""Runs: their fixed setting, one run as pure functions, grids of runs in compiled programs."""
