"""Baselines: masks drawn at random, of which the best on the training data counts."""
