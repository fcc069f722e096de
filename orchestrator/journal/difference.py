"""Compares two journals (or exports) event by event: how far they agree, and what differs then."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Protocol

from orchestrator.journal.event import Row
from tools.values import Value


class Rows(Protocol):
    """A journal or an export of one."""

    def rows(self) -> Iterator[tuple[Row, str | None]]:
        """The events with the content of payloads stored apart."""


class Difference(Value):
    """Where two journals part."""

    same: bool
    agree: int
    """How many events, from the first, are the same in both."""
    first: int | None = None
    """The first event that differs, or that only one of them has."""
    fields: tuple[str, ...] = ()
    """What differs in it; empty when one of them ends there."""
    ends: str = ""
    """``a`` or ``b``: which of them has no such event."""
    diff: tuple[str, ...] = ()
    """The event in both, line by line."""
    pruned: int = 0
    """Payloads that only one of them still has, among the events that agree."""


def difference(a: Rows, b: Rows) -> Difference:
    """The first event in which they differ. Reads both side by side, in constant memory."""
    agree = pruned = 0
    for one, other in zip_longest(a.rows(), b.rows()):
        if one is None or other is None:
            ends = "a" if one is None else "b"
            return Difference(same=False, agree=agree, first=agree + 1, ends=ends, pruned=pruned)
        if one[0] != other[0]:
            return Difference(
                same=False,
                agree=agree,
                first=agree + 1,
                fields=tuple(n for n in Row._fields if getattr(one[0], n) != getattr(other[0], n)),
                diff=_told(one, other),
                pruned=pruned,
            )
        pruned += (one[1] is None) != (other[1] is None)
        agree += 1
    return Difference(same=True, agree=agree, pruned=pruned)


def _told(one: tuple[Row, str | None], other: tuple[Row, str | None]) -> tuple[str, ...]:
    lines = difflib.unified_diff(_lines(*one), _lines(*other), "a", "b", lineterm="", n=1)
    return tuple(lines)


def _lines(row: Row, content: str | None) -> list[str]:
    payload: Any = json.loads(content if content is not None else row.payload)
    event = {**row._asdict(), "payload": payload}
    return json.dumps(event, indent=1, sort_keys=True, ensure_ascii=False).splitlines()
