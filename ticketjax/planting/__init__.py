"""Planting: a sparse target inside a random network, exactly; several tickets; near misses."""
