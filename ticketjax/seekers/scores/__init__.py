"""Scores: one number per parameter, of which the highest are kept."""
