"""The version, said here alone: setup.cfg reads it too."""

VERSION = "0.1.0"
