"""What the library should compute, written anew in NumPy and plain Python, in float64."""
