"""Settings of seekers: tried on development seeds and validation data, then frozen in a file."""
