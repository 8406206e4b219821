"""The proposals of a step one by one, compiled by Numba instead of XLA."""
