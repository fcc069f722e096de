"""Looks at all that mendloop needs, says what is missing and how to get it, changes nothing."""
