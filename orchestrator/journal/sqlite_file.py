"""The journal's file: its format, how it is opened, and what SQLite's errors mean to a caller."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from orchestrator.journal.store import grow_tree, head_of
from tools.errors import Invalid, MendloopError, Refused, Unavailable

APPLICATION_ID = 0x6D656E64
"""``mend`` in the file's header says that the database is a journal of mendloop."""

FORMAT = 2
"""1 kept every payload in its event and no tree; opening such a file to write converts it."""

BUSY_TIMEOUT_S = 5.0
"""A commit takes milliseconds; a writer that waits longer stands before something stuck."""
_POLL_S = 0.01

_EVENTS = """
CREATE TABLE events (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL, at TEXT NOT NULL, kind TEXT NOT NULL,
  target TEXT NOT NULL, incident TEXT NOT NULL, actor TEXT NOT NULL, payload TEXT NOT NULL,
  prev_hash TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE INDEX events_by_incident ON events (incident) WHERE incident != '';
CREATE INDEX events_by_kind ON events (target, kind);
CREATE TRIGGER events_stay BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""
_AROUND = """
CREATE TABLE payloads (name TEXT PRIMARY KEY, content TEXT NOT NULL) STRICT;
CREATE TABLE pruned (name TEXT PRIMARY KEY, event INTEGER NOT NULL) STRICT;
CREATE TABLE nodes (
  level INTEGER NOT NULL, place INTEGER NOT NULL, root BLOB NOT NULL,
  PRIMARY KEY (level, place)) STRICT, WITHOUT ROWID;
CREATE TRIGGER payloads_stay BEFORE UPDATE ON payloads
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER payloads_remain BEFORE DELETE ON payloads
WHEN NOT EXISTS (SELECT 1 FROM pruned WHERE pruned.name = OLD.name)
BEGIN SELECT RAISE(ABORT, 'only recorded retention may prune a payload'); END;
"""


def connect(path: str) -> sqlite3.Connection:
    """A connection that may append; makes the journal when the file is new or empty."""
    with translated(path):
        connection = _open(path, uri=False)
        try:
            if path != ":memory:":
                _prepare(connection, path)
            else:
                _create(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, also where the folder itself is read-only."""
    if not path.is_file():
        raise Invalid(f"there is no journal at {path}; check the home folder")
    with translated(str(path)):
        uri = f"file:{quote(str(path.resolve()))}?mode=ro"
        try:
            connection = _checked(_open(uri, uri=True), str(path))
        except sqlite3.OperationalError:
            # A write-ahead log needs files beside the journal. On a read-only medium there are
            # none to be made, and nobody can be writing.
            if path.with_name(path.name + "-wal").exists():
                raise
            connection = _checked(_open(uri + "&immutable=1", uri=True), str(path))
    return connection


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours, saying what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(error, path) from error


def _open(path: str, *, uri: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        uri=uri,
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _checked(connection: sqlite3.Connection, path: str) -> sqlite3.Connection:
    try:
        version = _identify(connection, path)
        if version == 0:
            raise Invalid(f"{path} is an empty file, not a journal; check the home folder")
        if version < FORMAT:
            raise Invalid(
                f"{path} has journal format {version}, this mendloop reads {FORMAT}; "
                "`mendloop run` on this home converts it"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _identify(connection: sqlite3.Connection, path: str) -> int:
    """The format of the journal, 0 for an empty database. Raises Invalid for anything else."""
    # One statement, one moment: another process may be making the journal just now.
    application, version, tables = connection.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)"
        " FROM pragma_application_id, pragma_user_version"
    ).fetchone()
    if application == 0 and version == 0 and tables == 0:
        return 0
    if application != APPLICATION_ID:
        raise Invalid(f"{path} is a database of another program; choose another path")
    if version > FORMAT:
        raise Invalid(
            f"{path} has journal format {version}, this mendloop knows up to {FORMAT}; "
            "use the newer mendloop that wrote it"
        )
    return int(version)


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    version = _identify(connection, path)
    _use_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous = FULL")
    if version < FORMAT:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have made it while this one waited for the lock.
            match _identify(connection, path):
                case 0:
                    _create(connection)
                case 1:
                    _convert(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Two processes that make a journal at once stand in each other's way, and here SQLite gives up
    at once instead of waiting."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal":
                return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy:
                raise
        if time.monotonic() >= deadline:
            raise Unavailable("the journal cannot be switched to a write-ahead log; who holds it?")
        time.sleep(_POLL_S)


def _create(connection: sqlite3.Connection) -> None:
    for statement in (*_statements(_EVENTS), *_statements(_AROUND)):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _convert(connection: sqlite3.Connection) -> None:
    """Format 1 becomes 2: the events stay as they are, byte for byte."""
    for statement in _statements(_AROUND):
        connection.execute(statement)
    grow_tree(connection, 0, head_of(connection).seq)
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _statements(script: str) -> Iterator[str]:
    """One statement at a time: ``executescript`` would end the transaction around it."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _meaning(error: sqlite3.Error, path: str) -> MendloopError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            return Unavailable(
                f"journal {path}: the disk is full; nothing was written, free some space",
                retry_after_s=30.0,
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable(
                f"journal {path} is locked by another process; nothing was written, "
                "find what holds it (fuser) or try again"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return Unavailable(
                f"journal {path} is read-only; nothing was written, make it writable",
                retry_after_s=30.0,
            )
        case sqlite3.SQLITE_CANTOPEN:
            return Unavailable(
                f"cannot open journal {path}; check that its folder exists and may be written to",
                retry_after_s=30.0,
            )
        case sqlite3.SQLITE_NOTADB:
            return Invalid(f"{path} is not a journal: not a SQLite database; choose another path")
        case sqlite3.SQLITE_CORRUPT:
            return Refused(
                f"journal {path} is damaged ({error}); stop mendloop and restore the file, "
                "then run `mendloop audit verify`"
            )
        case _:
            return Unavailable(f"journal {path}: {error}; nothing was written")
