"""Managed models with real data."""
