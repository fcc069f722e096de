"""One PostgreSQL database by URL: a bounded pool, time limits, errors that say what to do.

``postgresql://user:password@host:port/name?sslmode=verify-full&sslrootcert=...``, as libpq reads it
(PGPASSWORD, PGPASSFILE and a service file work too). The password is never shown. Connections are
made by whoever needs one, so a failure is said at once and in the server's words; one that went bad
while it lay idle is replaced unseen. Needs session settings: a direct connection or a pooler in
session mode.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tools.errors import MendloopError, Unavailable
from tools.postgres_errors import conninfo_of, is_connection_lost, meaning_of, without_password

if TYPE_CHECKING:
    from psycopg import Connection
    from sqlalchemy.pool import QueuePool

SCHEMA = "mendloop"
"""Where its tables are, so that it can share a database."""

CONNECTIONS = 8
"""Per process: a controller's threads, its senders and the checkpointer. A server allows 100."""

ANSWER_S = 10.0
"""A statement takes milliseconds; one that takes longer stands before something stuck."""
LOCK_S = 5.0
"""Appends wait for each other for milliseconds."""
CONNECT_S = 5
_LATE = 1.2
"""Times the limit: the server is first to give up a statement: its message says more."""
_SLOW_FAILURE_S = 1.0
_PAUSE_S = 5.0
"""After a failure that took long, others are told at once instead of waiting as long."""
_LIFETIME_S = 1800
"""So that a changed address or password is noticed within half an hour."""


class Database:
    """The connections of this process to one database; threads may share it."""

    def __init__(
        self,
        url: str,
        *,
        application: str = "mendloop",
        connections: int = CONNECTIONS,
        answer_s: float = ANSWER_S,
        read_only: bool = False,
        search_path: str = SCHEMA,
    ) -> None:
        """Connects to nothing yet. Raises Invalid for a malformed URL."""
        self._parameters, self.name = conninfo_of(url)
        self._parameters.setdefault("application_name", application)
        self._parameters.setdefault("connect_timeout", str(CONNECT_S))
        self._answer_s, self._read_only, self._search_path = answer_s, read_only, search_path
        self._connections = connections
        self._lock = threading.Lock()
        self._pool: QueuePool | None = None
        self._trouble = ""
        self._trouble_until_s = 0.0

    def __repr__(self) -> str:
        return f"Database({self.name!r})"

    def close(self) -> None:
        """Let go of idle connections; the database can be used again."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.dispose()

    @contextmanager
    def connection(self) -> Iterator[Connection[tuple[Any, ...]]]:
        """A connection in autocommit; vendor errors become ours, with nothing secret in them.

        Raises Unavailable when there is none to be had.
        """
        import psycopg

        began_s = self._ask_breaker()
        try:
            leased = self._pooled().connect()
            held: Any = leased.driver_connection
            try:
                yield held
            finally:
                if held.closed or held.info.transaction_status != 0:
                    held.close()
                    leased.invalidate()
                leased.close()
        except psycopg.Error as error:
            raise self._told(error, began_s) from without_password(error, self._parameters)

    @contextmanager
    def transaction(self, *, lock: int | None = None) -> Iterator[Connection[tuple[Any, ...]]]:
        """All or nothing, and durable once it returns; alone under ``lock`` where one is given.

        Raises Uncertain when the connection was lost while committing: look before doing it again.
        """
        import psycopg

        from tools.errors import Uncertain

        begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
        if lock is not None:
            begin += f"; SELECT pg_advisory_xact_lock({lock:d})"
        with self.connection() as connection:
            connection.execute(begin.encode())
            try:
                yield connection
            except BaseException:
                if not connection.closed:
                    connection.execute(b"ROLLBACK")
                raise
            try:
                connection.execute(b"COMMIT")
            except psycopg.Error as error:
                if not is_connection_lost(error):
                    raise
                raise Uncertain(
                    f"{self.name}: the connection was lost while committing; it may have been"
                    " written: look before writing it again"
                ) from without_password(error, self._parameters)

    @contextmanager
    def holding(self, lock: int, *, what: str) -> Iterator[Callable[[], None]]:
        """``lock`` for as long as it takes, on a connection of its own; it ends with the process.

        Yields what confirms that it is still held. Both raise Unavailable where it is not.
        """
        import psycopg

        from tools.postgres_pool import connect

        taken = Unavailable(f"another process is {what}; it goes on from there when that ends")
        began_s = self._ask_breaker()
        try:
            with connect(self._parameters, self._answer_s * _LATE, self._session()) as held:
                row = held.execute(b"SELECT pg_try_advisory_lock(%d)" % lock).fetchone()
                if row is None or not row[0]:
                    raise taken
                yield lambda: self._confirm(held)
        except psycopg.Error as error:
            raise self._told(error, began_s) from without_password(error, self._parameters)

    def _confirm(self, held: Connection[Any]) -> None:
        import psycopg

        try:
            held.execute(b"SELECT 1")
        except psycopg.Error as error:
            cause = without_password(error, self._parameters)
            raise self._told(error, time.monotonic()) from cause

    def _ask_breaker(self) -> float:
        now_s = time.monotonic()
        if now_s < self._trouble_until_s:
            raise Unavailable(self._trouble, retry_after_s=self._trouble_until_s - now_s)
        return now_s

    def _told(self, error: Exception, began_s: float) -> MendloopError:
        found = meaning_of(error, self.name, self._parameters)
        now_s = time.monotonic()
        if is_connection_lost(error) and now_s - began_s > _SLOW_FAILURE_S:
            self._trouble, self._trouble_until_s = str(found), now_s + _PAUSE_S
        return found

    def _pooled(self) -> QueuePool:
        with self._lock:
            if self._pool is None:
                from tools.postgres_pool import make_pool

                self._pool = make_pool(
                    self._parameters,
                    size=self._connections,
                    wait_s=LOCK_S,
                    answer_s=self._answer_s * _LATE,
                    lifetime_s=_LIFETIME_S,
                    session=self._session(),
                )
            return self._pool

    def _session(self) -> str:
        limit_ms = int(self._answer_s * 1000)
        settings = {
            "search_path": self._search_path,
            "statement_timeout": limit_ms,
            "lock_timeout": min(limit_ms, int(LOCK_S * 1000)),
            # A controller that is stopped in the middle must not keep the others out.
            "idle_in_transaction_session_timeout": limit_ms,
            "client_encoding": "UTF8",
        }
        lines = [f"SET {name} = '{value}'" for name, value in settings.items()]
        lines.append(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )
        if self._read_only:
            lines.append("SET default_transaction_read_only = on")
        return "; ".join(lines)
