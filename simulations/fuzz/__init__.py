"""Crash fuzzing: random worlds, random faults at every call, and the promises asked after each."""
