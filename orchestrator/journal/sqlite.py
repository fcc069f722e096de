"""The journal in one SQLite file: write-ahead log, one synchronous commit per append.

Several processes may append to one file; each append reads the head under the write lock. Triggers
refuse UPDATE and DELETE, against accidents; against intent there is the hash chain.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.journal.event import Entry, Event, Head, Row, chain, hash_of
from orchestrator.journal.journal import Verification
from orchestrator.journal.sqlite_file import connect, connect_read_only, translated
from tools.errors import Invalid, Unavailable
from tools.values import Value

Answer = TypeVar("Answer")

_BATCH = 10_000

COLUMNS = "seq, id, at, kind, target, incident, actor, payload, prev_hash, hash"


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
            rows = self._in_transaction(lambda: self._write(entries))
        return [row.event() for row in rows]

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
        conditions, values = ["seq > ?"], [after]  # type: tuple[list[str], list[Any]]
        for column, value in (("incident", incident), ("target", target)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        if incident:
            conditions.append("incident != ''")  # Lets SQLite use the partial index.
        if until is not None:
            conditions.append("seq <= ?")
            values.append(until)
        if kinds is not None:
            conditions.append(f"kind IN ({', '.join('?' * len(kinds))})")
            values += sorted(kinds)
        query = f"SELECT {COLUMNS} FROM events WHERE {' AND '.join(conditions)} ORDER BY seq"
        with self._lock, translated(self._path):
            return [_row(found).event() for found in self._connection.execute(query, values)]

    def last(self, kind: str, *, target: str) -> Event | None:
        """See Journal."""
        query = (
            f"SELECT {COLUMNS} FROM events WHERE target = ? AND kind = ? ORDER BY seq DESC LIMIT 1"
        )
        with self._lock, translated(self._path):
            found = self._connection.execute(query, (target, kind)).fetchone()
        return _row(found).event() if found else None

    def head(self) -> Head:
        """See Journal."""
        with self._lock, translated(self._path):
            return self._head()

    def hashes(self, *, after: int = 0) -> Iterator[str]:
        """See Journal."""
        for _, linked in self._batched("seq, hash", after):
            yield linked

    def rows(self) -> Iterator[Row]:
        """Every event as it is stored, without holding all of them in memory."""
        for found in self._batched(COLUMNS, 0):
            yield _row(found)

    def verify(self) -> Verification:
        """See Journal."""
        with self._lock, translated(self._path):
            query = f"SELECT {COLUMNS} FROM events NOT INDEXED ORDER BY seq"
            found = verify_rows(iter(self._connection.execute(query)))
            if not found.ok:
                return found
            # An index that lies would hide events from readers although the chain is whole.
            fault: str = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if fault != "ok":
            reason = f"the events are whole, but the database file is not: {fault}"
            return found.model_copy(update={"ok": False, "reason": reason})
        return found

    def _batched(self, columns: str, after: int) -> Iterator[tuple[Any, ...]]:
        """In batches: a long journal neither fills the memory nor keeps writers waiting."""
        query = f"SELECT {columns} FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        while True:
            with self._lock, translated(self._path):
                batch = self._connection.execute(query, (after, _BATCH)).fetchall()
            yield from batch
            if len(batch) < _BATCH:
                return
            after = batch[-1][0]

    def _head(self) -> Head:
        newest = self._connection.execute(
            "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return Head(seq=newest[0], hash=newest[1]) if newest else Head()

    def _write(self, entries: Sequence[Entry]) -> list[Row]:
        head, rows = self._head(), []
        for entry in entries:
            row = chain(head, entry)
            self._connection.execute(
                f"INSERT INTO events ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)",
                tuple(dict(row).values()),
            )
            rows.append(row)
            head = Head(seq=row.seq, hash=row.hash)
        return rows

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


def verify_rows(rows: Iterator[tuple[Any, ...]]) -> Verification:
    """Recompute the chain over rows in the order of ``COLUMNS``, in constant memory."""
    good, previous = 0, Head().hash
    try:
        for row in rows:
            reason = _fault(row, good + 1, previous)
            if reason:
                return Verification(ok=False, events=good, first_bad=good + 1, reason=reason)
            good, previous = good + 1, row[9]
    except (sqlite3.DatabaseError, UnicodeEncodeError, Invalid) as error:
        reason = f"cannot be read: {error}"
        return Verification(ok=False, events=good, first_bad=good + 1, reason=reason)
    return Verification(ok=True, events=good)


def _fault(row: tuple[Any, ...], seq: int, previous: str) -> str:
    """What is wrong with the event that should be number ``seq``; empty when it is whole."""
    found, id_, at, kind, target, incident, actor, payload, prev_hash, linked = row
    if found != seq:
        return f"event {seq} is missing: event {found} stands in its place"
    if prev_hash != previous:
        return "does not follow the event before it: one was changed, removed or put in between"
    if not all(isinstance(text, str) for text in row[1:]):
        return "holds something that is not text"
    computed = hash_of(
        seq=seq,
        id=id_,
        at=at,
        kind=kind,
        target=target,
        incident=incident,
        actor=actor,
        payload=payload,
        prev_hash=prev_hash,
    )
    return "" if computed == linked else "its content does not match its hash: it was changed"


def _row(found: tuple[Any, ...]) -> Row:
    return Row(**dict(zip(Row.model_fields, found, strict=True)))
