"""Tells people and programs what happened, by webhook: derived from the journal, never lost."""
