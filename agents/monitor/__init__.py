"""The monitor: what is true of a target, on what evidence, and when to leave it alone."""
