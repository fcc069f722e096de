"""Recomputes the chain over stored rows, and accounts for every payload that is stored apart."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.journal import kinds
from orchestrator.journal.event import Head, Row, digest_of, hash_of
from orchestrator.journal.journal import Verification
from tools.errors import Invalid, Refused

Stored = tuple[Any, ...]
"""The ten fields of ``Row`` and, behind them, the content of a payload that is stored apart."""


def verify_rows(
    rows: Iterator[Stored],
    *,
    after: Head | None = None,
    watch: Callable[[Stored], None] | None = None,
) -> Verification:
    """The first event that is not what was written, if there is one.

    Content that is gone (None) must be named by a recorded retention. Takes memory for what was
    pruned only. ``after`` is the event before the first row; ``watch`` is shown every good one.
    """
    before = after or Head()
    good, previous = before.seq, before.hash
    payloads = _Payloads()
    try:
        for row in rows:
            reason = _fault(row, good + 1, previous) or payloads.fault(row)
            if reason:
                return Verification(ok=False, events=good, first_bad=good + 1, reason=reason)
            good, previous = good + 1, row[9]
            if watch is not None:
                watch(row)
    except (sqlite3.DatabaseError, UnicodeEncodeError, Invalid, Refused) as error:
        reason = f"cannot be read: {error}"
        return Verification(ok=False, events=good, first_bad=good + 1, reason=reason)
    if (deleted := payloads.unaccounted()) is not None:
        reason = "its payload was deleted, and no recorded retention says so"
        return Verification(ok=False, events=good, first_bad=deleted, reason=reason)
    return Verification(ok=True, events=good, pruned=len(payloads.gone))


class _Payloads:
    """What is stored apart: whether it is what its name says, and if it is gone, by whose leave."""

    def __init__(self) -> None:
        self.gone: dict[str, int] = {}
        """Names without content, and the first event that has it."""
        self._pruned: set[str] = set()

    def fault(self, row: Stored) -> str:
        """What is wrong with the payload of this event; empty when nothing is."""
        payload: str = row[7]
        if not payload.startswith('"'):
            if row[3] == kinds.JOURNAL_PRUNED:
                self._take_leave(payload)
            return ""
        content = row[10] if len(row) > 10 else None
        if content is None:
            if row[3] not in kinds.EXPLANATIONS:
                return "its payload was deleted; retention prunes none of this kind"
            self.gone.setdefault(payload, row[0])
            return ""
        if f'"{digest_of(content)}"' != payload:
            return "its payload does not match its digest: it was changed"
        if row[3] == kinds.JOURNAL_PRUNED:
            self._take_leave(content)
        return ""

    def unaccounted(self) -> int | None:
        """The first event whose payload is gone without leave."""
        return min(
            (seq for name, seq in self.gone.items() if name not in self._pruned), default=None
        )

    def _take_leave(self, content: str) -> None:
        try:
            self._pruned.update(f'"{name}"' for name in json.loads(content)["payloads"])
        except (ValueError, KeyError, TypeError) as error:
            raise Invalid(f"the list of pruned payloads is malformed: {error}") from error


def _fault(row: tuple[Any, ...], seq: int, previous: str) -> str:
    """What is wrong with the event that should be number ``seq``; empty when it is whole."""
    if row[0] != seq:
        return f"event {seq} is missing: event {row[0]} stands in its place"
    if row[8] != previous:
        return "does not follow the event before it: one was changed, removed or put in between"
    if not all(isinstance(text, str) for text in row[1:10]):
        return "holds something that is not text"
    computed = hash_of(**dict(zip(Row._fields[:9], row, strict=False)))
    return "" if computed == row[9] else "its content does not match its hash: it was changed"
