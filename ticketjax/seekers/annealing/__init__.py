"""Simulated annealing of masks under a budget."""
