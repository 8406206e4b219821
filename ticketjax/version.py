"""The version, defined only here; setup.cfg reads it."""

VERSION = "0.2.0"
