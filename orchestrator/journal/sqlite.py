"""The journal in one SQLite file: write-ahead log, one synchronous commit per append.

Several processes may append to one file; each append reads the head under the write lock. Triggers
refuse UPDATE and DELETE, against accidents; against intent there is the hash chain.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.journal.event import Entry, Event, Head, Row
from orchestrator.journal.journal import Verification
from orchestrator.journal.merkle import TiledTree
from orchestrator.journal.retention import Pruning, prunable, prune
from orchestrator.journal.sqlite_file import connect, connect_read_only, translated
from orchestrator.journal.store import (
    WITH_CONTENT,
    events_of,
    grow_tree,
    head_of,
    nodes_of,
    put,
    selection,
)
from orchestrator.journal.verification import Stored, verify_rows
from tools.errors import Unavailable
from tools.values import Value

Answer = TypeVar("Answer")

_BATCH = 10_000
_SIZE = "length(CAST(content AS BLOB))"


class SqliteJournal:
    """Implements the Journal port; ``":memory:"`` keeps it in memory, for simulations."""

    def __init__(self, path: Path | str) -> None:
        """Open the journal at ``path``, making it when there is none.

        Raises Invalid when the file is something else or of a newer format, Unavailable when it
        cannot be opened for writing.
        """
        self._path = str(path)
        self._lock = threading.Lock()
        self._connection = connect(self._path)
        self._read_only = False

    @classmethod
    def open_read_only(cls, path: Path | str) -> SqliteJournal:
        """Open an existing journal to read it, while others may be writing to it."""
        journal = cls.__new__(cls)
        journal._path = str(path)
        journal._lock = threading.Lock()
        journal._connection = connect_read_only(Path(path))
        journal._read_only = True
        return journal

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

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
        if self._read_only:
            raise Unavailable(f"journal {self._path} was opened to read only; nothing was written")
        with self._lock, translated(self._path):
            written = self._in_transaction(lambda: put(self._connection, entries))
        return [linked.event() for linked in written]

    def events(
        self,
        *,
        incident: str | None = None,
        target: str | None = None,
        kinds: Collection[str] | None = None,
        after: int = 0,
        until: int | None = None,
    ) -> list[Event]:
        """See Journal."""
        query, values = selection(
            incident=incident, target=target, kinds=kinds, after=after, until=until
        )
        with self._lock, translated(self._path):
            return events_of(self._connection.execute(query, values))

    def last(self, kind: str, *, target: str) -> Event | None:
        """See Journal."""
        query = f"{WITH_CONTENT} WHERE target = ? AND kind = ? ORDER BY seq DESC LIMIT 1"
        with self._lock, translated(self._path):
            found = events_of(self._connection.execute(query, (target, kind)))
        return found[0] if found else None

    def head(self) -> Head:
        """See Journal."""
        with self._lock, translated(self._path):
            return head_of(self._connection)

    def hashes(self, *, after: int = 0) -> Iterator[str]:
        """See Journal."""
        for _, linked in self._batched("SELECT seq, hash FROM events", after):
            yield linked

    def rows(self, *, after: int = 0, until: int | None = None) -> Iterator[tuple[Row, str | None]]:
        """Every event as it is stored, with what is stored apart of it (None: gone)."""
        for found in self._batched(WITH_CONTENT, after):
            if until is not None and found[0] > until:
                return
            yield Row(*found[:10]), found[10]

    def tree(self) -> TiledTree:
        """The Merkle tree over the events, as they are now."""

        def read(level: int, begin: int, end: int) -> list[bytes]:
            with self._lock, translated(self._path):
                return nodes_of(self._connection, level, begin, end)

        return TiledTree(read)

    def rebuild_tree(self) -> None:
        """Make the kept nodes anew from the events."""
        with self._lock, translated(self._path):
            self._in_transaction(
                lambda: grow_tree(self._connection, 0, head_of(self._connection).seq)
            )

    def verify(
        self, *, after: int = 0, watch: Callable[[Stored], None] | None = None
    ) -> Verification:
        """See Journal; ``after`` leaves out the events through that one, known to be good."""
        with self._lock, translated(self._path):
            query = f"{WITH_CONTENT} WHERE seq > ? ORDER BY seq"
            rows = self._connection.execute(query, (after,))
            found = verify_rows(rows, after=self._at(after), watch=watch)
            if not found.ok:
                return found
            # An index that lies would hide events from readers although the chain is whole.
            fault = "ok" if after else self._check_file()
        if fault != "ok":
            reason = f"the events are whole, but the database file is not: {fault}"
            return found.model_copy(update={"ok": False, "reason": reason})
        return found

    def prunable(self, before: datetime, open_incidents: Sequence[str]) -> Pruning:
        """What retention would take now."""
        with self._lock, translated(self._path):
            return prunable(self._connection, before, open_incidents, size=_SIZE)

    def prune(self, taken: Pruning, *, at: datetime, actor: str, reason: str) -> None:
        """Take it for good: overwritten in the file, recorded in the chain, all or nothing."""
        with self._lock, translated(self._path):
            self._connection.execute("PRAGMA secure_delete = ON")
            self._in_transaction(
                lambda: prune(
                    self._connection, taken, at=at, actor=actor, reason=reason, size=_SIZE
                )
            )
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _check_file(self) -> str:
        fault: str = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        return fault

    def _at(self, seq: int) -> Head:
        found = self._connection.execute("SELECT hash FROM events WHERE seq = ?", (seq,)).fetchone()
        return Head(seq=seq, hash=found[0]) if found else Head()

    def _batched(self, query: str, after: int) -> Iterator[tuple[Any, ...]]:
        """In batches: a long journal neither fills the memory nor keeps writers waiting."""
        query = f"{query} WHERE seq > ? ORDER BY seq LIMIT ?"
        while True:
            with self._lock, translated(self._path):
                batch = self._connection.execute(query, (after, _BATCH)).fetchall()
            yield from batch
            if len(batch) < _BATCH:
                return
            after = batch[-1][0]

    def _in_transaction(self, work: Callable[[], Answer]) -> Answer:
        """``work``, committed whole or not at all."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            answer = work()
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors, such as a full disk.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return answer
