"""A journal whose end is asked for once per tick, not once per question about each target.

Many readers fold the journal on from where they were; each asks first how long it is by now, and
with a database that is a round trip. Within ``steady()`` the answer stands until the tick ends and
grows with whatever is written here: what others wrote meanwhile is noticed a tick later, what was
written here at once. An append comes after all that others committed before it, so writing also
shows all of that. Right before an act, ``afresh()`` asks each time; what is written is checked by
the journal itself, in its transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from orchestrator.journal.event import Entry, Event, Head
from orchestrator.journal.journal import Journal, Verification
from tools.values import Value


class SteadyJournal:
    """Implements Journal over another one, for the one thread that ticks."""

    def __init__(self, inner: Journal) -> None:
        self._inner = inner
        self._is_steady = False
        self._known: Head | None = None

    @contextmanager
    def steady(self) -> Iterator[None]:
        """The end is asked for once, when it is first needed."""
        yield from self._while(True)

    @contextmanager
    def afresh(self) -> Iterator[None]:
        """Inside ``steady()``: it is asked for each time after all."""
        yield from self._while(False)

    def head(self) -> Head:
        """See Journal; within ``steady()`` that of its first asking, or of what was written."""
        if not self._is_steady:
            return self._inner.head()
        if self._known is None:
            self._known = self._inner.head()
        return self._known

    def append(
        self,
        kind: str,
        *,
        at: datetime,
        actor: str,
        payload: Value | Mapping[str, Any],
        target: str = "",
        incident: str = "",
    ) -> Event:
        """See Journal."""
        entry = Entry(
            kind=kind, at=at, target=target, incident=incident, actor=actor, payload=payload
        )
        return self.append_many([entry])[0]

    def append_many(self, entries: Sequence[Entry]) -> list[Event]:
        """See Journal."""
        self._known, before = None, self._known  # after an error: it may be there all the same
        written = self._inner.append_many(entries)
        self._known = before
        if self._is_steady and written:
            # With it all is known that stands before it.
            self._known = Head(written[-1].seq, written[-1].hash)
        return written

    def events(
        self,
        *,
        incident: str | None = None,
        target: str | None = None,
        kinds: Collection[str] | None = None,
        after: int = 0,
        until: int | None = None,
    ) -> list[Event]:
        """See Journal; always as it is now."""
        return self._inner.events(
            incident=incident, target=target, kinds=kinds, after=after, until=until
        )

    def last(self, kind: str, *, target: str) -> Event | None:
        """See Journal; always as it is now."""
        return self._inner.last(kind, target=target)

    def hashes(self, *, after: int = 0) -> Iterator[str]:
        """See Journal."""
        return self._inner.hashes(after=after)

    def verify(self) -> Verification:
        """See Journal."""
        return self._inner.verify()

    def close(self) -> None:
        """See Journal."""
        self._inner.close()

    def _while(self, is_steady: bool) -> Iterator[None]:
        before, self._is_steady, self._known = self._is_steady, is_steady, None
        try:
            yield
        finally:
            self._is_steady, self._known = before, None
