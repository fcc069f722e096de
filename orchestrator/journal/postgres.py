"""The journal in PostgreSQL, shared by several controllers: one advisory lock, one chain.

An append locks, reads the head, writes and commits, so the order of the numbers is the order of the
commits: whoever has read up to an event has missed none before it. Triggers refuse UPDATE, DELETE
and TRUNCATE, against accidents; against intent there is the hash chain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import structlog

from orchestrator.database import bring_up, must_be_current
from orchestrator.journal.event import Entry, Event, Head, Linked, Row
from orchestrator.journal.journal import Verification
from orchestrator.journal.merkle import TiledTree
from orchestrator.journal.retention import Pruning, prunable, prune
from orchestrator.journal.store import (
    WITH_CONTENT,
    Rows,
    events_of,
    grow_tree,
    head_of,
    nodes_of,
    put,
    selection,
)
from orchestrator.journal.verification import Stored, verify_rows
from tools.errors import MendloopError, Unavailable, Uncertain
from tools.postgres import Database
from tools.values import Value

_APPENDING = 0x6D656E64_6C6F6F70
"""The advisory lock under which the chain grows."""

_BATCH = 10_000
_SIZE = "octet_length(content)"
_log = structlog.get_logger()


class Statements:
    """A connection that takes the statements of ``store.py``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, query: str, parameters: Sequence[Any] = (), /) -> Rows:
        """Run one statement."""
        found: Rows = self._connection.execute(_spelled(query), parameters)
        return found

    def executemany(self, query: str, parameters: Iterable[Sequence[Any]], /) -> None:
        """Run one statement for each, in one round trip."""
        with self._connection.cursor() as cursor:
            cursor.executemany(_spelled(query), parameters)


class PostgresJournal:
    """Implements StoredJournal; ``database`` may be shared with others."""

    def __init__(self, database: Database, *, read_only: bool = False) -> None:
        """Make or upgrade the tables where that is needed; a reader only looks.

        Raises Unavailable when there is no connection, Refused for a database of another version.
        """
        self._database, self._read_only = database, read_only
        if read_only:
            must_be_current(database)
        else:
            bring_up(database)

    def close(self) -> None:
        """Let go of idle connections."""
        self._database.close()

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
        """See Journal. Unavailable may also say that the answer to a commit was lost and the
        database is gone: then nobody may act on what was to be recorded, as after a crash."""
        if self._read_only:
            raise Unavailable(
                f"journal {self._database.name} was opened to read only; nothing was written"
            )
        if not entries:
            return []
        written: list[Linked] = []
        try:
            with self._database.transaction(lock=_APPENDING) as connection:
                written = put(Statements(connection), entries)
        except Uncertain as error:
            self._look_for(written[-1].row, error)
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
        with self._reading() as statements:
            return events_of(statements.execute(query, values).fetchall())

    def last(self, kind: str, *, target: str) -> Event | None:
        """See Journal."""
        query = f"{WITH_CONTENT} WHERE target = ? AND kind = ? ORDER BY seq DESC LIMIT 1"
        with self._reading() as statements:
            found = events_of(statements.execute(query, (target, kind)).fetchall())
        return found[0] if found else None

    def head(self) -> Head:
        """See Journal."""
        with self._reading() as statements:
            return head_of(statements)

    def hashes(self, *, after: int = 0) -> Iterator[str]:
        """See Journal."""
        for _, linked in self._batched("SELECT seq, hash FROM events", after):
            yield linked

    def rows(self, *, after: int = 0, until: int | None = None) -> Iterator[tuple[Row, str | None]]:
        """See StoredJournal."""
        for found in self._batched(WITH_CONTENT, after):
            if until is not None and found[0] > until:
                return
            yield Row(*found[:10]), found[10]

    def tree(self) -> TiledTree:
        """See StoredJournal."""

        def read(level: int, begin: int, end: int) -> list[bytes]:
            with self._reading() as statements:
                return nodes_of(statements, level, begin, end)

        return TiledTree(read)

    def rebuild_tree(self) -> None:
        """See StoredJournal."""
        with self._database.transaction(lock=_APPENDING) as connection:
            statements = Statements(connection)
            grow_tree(statements, 0, head_of(statements).seq)

    def verify(
        self, *, after: int = 0, watch: Callable[[Stored], None] | None = None
    ) -> Verification:
        """See StoredJournal."""
        found = verify_rows(self._batched(WITH_CONTENT, after), after=self._at(after), watch=watch)
        if not found.ok or after:
            return found
        fault = self._hidden()
        if fault:
            reason = f"the events are whole, but the database is not: {fault}"
            return found.model_copy(update={"ok": False, "reason": reason})
        return found

    def prunable(self, before: datetime, open_incidents: Sequence[str]) -> Pruning:
        """See StoredJournal."""
        with self._reading() as statements:
            return prunable(statements, before, open_incidents, size=_SIZE)

    def prune(self, taken: Pruning, *, at: datetime, actor: str, reason: str) -> None:
        """See StoredJournal. The rows' space is given back for reuse; backups and the write-ahead
        log hold them for as long as they are kept."""
        with self._database.transaction(lock=_APPENDING) as connection:
            prune(Statements(connection), taken, at=at, actor=actor, reason=reason, size=_SIZE)
        try:
            with self._database.connection() as connection:
                connection.execute(b"VACUUM payloads")
        except MendloopError as error:
            _log.warning("journal.unvacuumed", reason=str(error))

    def _look_for(self, row: Row, error: Uncertain) -> None:
        """Nothing when the row was committed. Under the lock no commit of ours can be under way."""
        query = "SELECT count(*) FROM events WHERE seq = ? AND hash = ?"
        try:
            with self._database.transaction(lock=_APPENDING) as connection:
                [count] = Statements(connection).execute(query, (row.seq, row.hash)).fetchone()
        except MendloopError as later:
            raise Unavailable(f"{error}; and now: {later}", retry_after_s=5.0) from later
        if not count:
            raise Unavailable(
                f"{self._database.name}: the connection was lost; nothing was written"
            )

    def _hidden(self) -> str:
        """An index that lies would hide events from readers although the chain is whole."""
        by_table = (
            "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; "
            "SET LOCAL enable_bitmapscan = off"
        )
        by_index = "SET LOCAL enable_seqscan = off"
        counts = []
        for way in (by_table, by_index):
            with self._database.transaction() as connection:
                connection.execute(way.encode())
                counts.append([connection.execute(query.encode()).fetchone() for query in _COUNTS])
        return "" if counts[0] == counts[1] else "an index does not show every event; REINDEX it"

    def _at(self, seq: int) -> Head:
        with self._reading() as statements:
            found = statements.execute("SELECT hash FROM events WHERE seq = ?", (seq,)).fetchone()
        return Head(seq=seq, hash=found[0]) if found else Head()

    def _batched(self, query: str, after: int) -> Iterator[tuple[Any, ...]]:
        """In batches: a long journal must not fill the memory, nor meet a statement's limit."""
        query = f"{query} WHERE seq > ? ORDER BY seq LIMIT ?"
        while True:
            with self._reading() as statements:
                batch = statements.execute(query, (after, _BATCH)).fetchall()
            yield from batch
            if len(batch) < _BATCH:
                return
            after = batch[-1][0]

    @contextmanager
    def _reading(self) -> Iterator[Statements]:
        """A connection for statements outside a transaction."""
        with self._database.connection() as connection:
            yield Statements(connection)


_COUNTS = (
    "SELECT count(*), sum(seq) FROM events WHERE seq > 0",
    "SELECT count(*), sum(seq) FROM events WHERE incident != ''",
    "SELECT count(*), sum(seq) FROM events WHERE target >= ''",
    "SELECT count(*), sum(seq) FROM events WHERE kind >= ''",
)


def _spelled(query: str) -> bytes:
    return query.replace("?", "%s").encode()
