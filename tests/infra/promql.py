"""Which series a PromQL expression reads, and by which of their labels it selects.

A reader for tests, not a parser: promtool says whether the expression is one at all.
"""

from __future__ import annotations

import re

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\{([^{}]*)\}")
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_RANGE = re.compile(r"\[[^\]]*\]|\boffset\s+-?\w+")
_NAME = re.compile(r"(?<![\w.:])[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\(|[\w:])")
_WORDS = {"and", "or", "unless", "bool", "inf", "nan"}


def series(expression: str) -> frozenset[str]:
    """The names of the series that it reads."""
    text = _STRING.sub('""', expression)
    text = re.sub(r"\{[^{}]*\}", " ", _GROUPING.sub(" ", text))
    found = _NAME.findall(_RANGE.sub(" ", text))
    return frozenset(name for name in found if name.lower() not in _WORDS)


def selected(expression: str) -> list[tuple[str, frozenset[str]]]:
    """Each selector's series, with the labels that it asks for."""
    text = _STRING.sub('""', expression)
    return [
        (name, frozenset(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside)))
        for name, inside in _SELECTOR.findall(text)
    ]


def grouped(expression: str) -> frozenset[str]:
    """Every label by which something is grouped or matched."""
    inside = " ".join(labels for _, labels in _GROUPING.findall(_STRING.sub('""', expression)))
    return frozenset(re.findall(r"\w+", inside))
