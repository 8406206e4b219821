"""Searches with a trained gate per parameter, the parameters frozen."""
