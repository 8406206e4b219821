"""Independent implementations of the library in NumPy and plain Python, in float64."""
