"""Seekers: algorithms that look for a ticket, one file each; their names stand in registry."""
