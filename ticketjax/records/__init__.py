"""Records on disk and in tables."""
