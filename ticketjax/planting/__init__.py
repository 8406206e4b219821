"""Planting: a sparse target inside a random network, exactly; several of them, near misses."""
