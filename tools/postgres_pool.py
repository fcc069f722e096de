"""Connections to PostgreSQL that answer within a time, and the pool that they lie in."""

from __future__ import annotations

import select
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from sqlalchemy import exc
from sqlalchemy.pool import QueuePool


class BoundedConnection(Connection[Any]):
    """Gives up an answer that does not come: a server that hangs must not hang the controller."""

    answer_s: float = 0.0
    """0: as long as it takes."""

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """See psycopg's Connection. What the server still does is unknown: the connection ends."""
        limit_s = timeout if timeout is not None else (self.answer_s or None)
        try:
            return super().wait(gen, interval=interval, timeout=limit_s)
        except psycopg.OperationalError as error:
            if error.sqlstate is None and timeout is None:
                self.pgconn.finish()
            raise

    def __del__(self, *_: object) -> None:
        """A command that ends, or a pool that is let go of, need not close each."""
        if not self.closed:
            self.pgconn.finish()


class _Pool(QueuePool):
    """A QueuePool that speaks of trouble as psycopg does."""

    def connect(self) -> Any:
        """See QueuePool; a connection that ended while it lay idle is replaced."""
        try:
            while True:
                leased = super().connect()
                held: Any = leased.driver_connection
                if _is_alive(held):
                    return leased
                held.close()
                leased.invalidate()
                leased.close()
        except exc.TimeoutError as error:
            raise psycopg.OperationalError(
                f"all {self.size()} connections of this process are in use"
            ) from error


def make_pool(
    parameters: Mapping[str, str],
    *,
    size: int,
    wait_s: float,
    answer_s: float,
    lifetime_s: int,
    session: str,
) -> QueuePool:
    """At most ``size`` connections, made when they are needed; ``session`` is run on each."""

    def creator() -> Any:
        return connect(parameters, answer_s, session)

    return _Pool(
        creator,
        pool_size=size,
        max_overflow=0,
        timeout=wait_s,
        use_lifo=True,
        recycle=lifetime_s,
        reset_on_return=None,
    )


def connect(parameters: Mapping[str, str], answer_s: float, session: str) -> Connection[Any]:
    """One connection, in autocommit."""
    made = BoundedConnection.connect(make_conninfo("", **parameters), autocommit=True)
    try:
        made.answer_s = answer_s
        made.execute(session.encode())
    except BaseException:
        made.close()
        raise
    return made


def _is_alive(connection: Any) -> bool:
    """Whether the server has not hung up meanwhile; a round trip only where it said something."""
    if connection.closed:
        return False
    said = select.poll()
    said.register(connection.fileno(), select.POLLIN | select.POLLHUP)
    if not said.poll(0):
        return True
    try:
        connection.execute(b"SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
