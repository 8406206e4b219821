"""Seekers: algorithms that look for a ticket, one file each; their names are in registry."""
