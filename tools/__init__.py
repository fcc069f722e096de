"""Hands: one port per need, one file per vendor, and the statistics."""
