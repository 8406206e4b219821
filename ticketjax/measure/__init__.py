"""Measuring: quality, recovery, the target as a function, traces of a ticket, diagnosis, work."""
