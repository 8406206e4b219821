"""Command lines, one module each: python -m experiments.NAME --help."""
