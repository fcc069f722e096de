"""The one-machine platform."""
