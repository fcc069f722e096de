"""Where the outbox is kept, and whose turn it is to deliver: a file, or PostgreSQL."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from orchestrator.journal.postgres import Statements
from orchestrator.journal.sqlite_file import BUSY_TIMEOUT_S, translated
from orchestrator.journal.store import Connection
from tools.durable_files import locked
from tools.errors import Unavailable, Uncertain
from tools.postgres import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS channels (
  name TEXT PRIMARY KEY, seq INTEGER NOT NULL, delivered INTEGER NOT NULL DEFAULT 0,
  delivered_at TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
  error_at TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE IF NOT EXISTS backlog (
  channel TEXT NOT NULL, seq INTEGER NOT NULL, target TEXT NOT NULL, name TEXT NOT NULL,
  refusals INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (channel, seq)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS backlog_by_target ON backlog (channel, target, seq);
"""


class OutboxStore(Protocol):
    """Where an outbox is kept."""

    def transaction(self) -> AbstractContextManager[Connection]:
        """A connection, its work committed whole or not at all. Raises Unavailable."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection for one statement that changes nothing."""

    def turn(self, channel: str) -> AbstractContextManager[Callable[[], None]]:
        """This process delivers for the channel, no other one; what it yields confirms that it
        still does. Both raise Unavailable where another process has the turn."""

    def close(self) -> None:
        """Let go of it."""


class FileStore:
    """Implements OutboxStore with one SQLite file; turns are lock files beside it."""

    def __init__(self, path: Path) -> None:
        self._folder, self._path = path.parent, str(path)
        self._lock = threading.Lock()
        with translated(self._path):
            self._db = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """See OutboxStore."""
        with self._lock, translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See OutboxStore."""
        with self._lock, translated(self._path):
            yield self._db

    @contextmanager
    def turn(self, channel: str) -> Iterator[Callable[[], None]]:
        """See OutboxStore."""
        with locked(self._folder / f"{channel}.lock", timeout_s=0.0):
            yield lambda: None

    def close(self) -> None:
        """See OutboxStore."""
        self._db.close()


class DatabaseStore:
    """Implements OutboxStore in PostgreSQL, for several controllers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """See OutboxStore. A commit whose answer was lost is as if the process had died: what was
        delivered is delivered again."""
        try:
            with self._database.transaction() as connection:
                yield Statements(connection)
        except Uncertain as error:
            raise Unavailable(str(error)) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See OutboxStore."""
        with self._database.connection() as connection:
            yield Statements(connection)

    @contextmanager
    def turn(self, channel: str) -> Iterator[Callable[[], None]]:
        """See OutboxStore."""
        name = int.from_bytes(hashlib.sha256(f"notify {channel}".encode()).digest()[:7])
        with self._database.holding(name, what=f"delivering for {channel}") as confirm:
            yield confirm

    def close(self) -> None:
        """See OutboxStore."""
        self._database.close()
