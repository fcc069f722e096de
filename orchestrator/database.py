"""The version of what mendloop keeps in PostgreSQL: looked at before use, brought up when older.

Controllers that start at once bring it up one after the other, under an advisory lock that is asked
for again and again instead of waited for: LangGraph builds an index concurrently, which waits for
every session that waits. A database that is newer than this mendloop is refused.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.errors import Refused, Unavailable
from tools.postgres import SCHEMA, Database
from tools.values import Value

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0002"
"""The version that this mendloop reads and writes; a test compares it with the folder's newest."""
VERSION_TABLE = "schema_version"

_MIGRATING = 0x6D656E64_6D696772
_MIGRATION_S = 60.0
"""How long a start waits for another one's migration."""
_POLL_S = 0.05


class SchemaState(Value):
    """Which version a database has."""

    version: str
    """Empty where mendloop never was."""
    known: bool
    """False: a newer mendloop was here."""
    is_current: bool


def schema_state(database: Database) -> SchemaState:
    """Look, and change nothing."""
    with database.connection() as connection:
        return _state(connection)


def must_be_current(database: Database) -> None:
    """For readers. Raises Refused that says what to do where the version is another one."""
    state = schema_state(database)
    _must_be_known(state, database)
    if not state.is_current:
        has = f"version {state.version} of" if state.version else "nothing of"
        raise Refused(
            f"{database.name} has {has} mendloop's tables, version {HEAD} is needed; "
            "`mendloop run` makes it, or `mendloop database upgrade`"
        )


def bring_up(database: Database, *, to: str = HEAD) -> bool:
    """Make or upgrade the tables; whether anything was to be done.

    Raises Refused for a database that a newer mendloop has upgraded.
    """
    state = schema_state(database)
    _must_be_known(state, database)
    if state.is_current and to == HEAD:
        return False
    with alone(database) as connection:
        connection.execute(
            b"DO $$ BEGIN IF to_regnamespace('%s') IS NULL THEN CREATE SCHEMA %s; END IF; END $$"
            % (SCHEMA.encode(), SCHEMA.encode())
        )
        _migrate(connection, to=to)
    return True


def take_down(database: Database, *, to: str) -> None:
    """Go back to an older version; "base" is none. Raises Refused where events would be lost."""
    from alembic import command
    from alembic.util import CommandError

    _must_be_known(schema_state(database), database)
    with alone(database) as connection, _engine_of(connection) as sql:
        try:
            command.downgrade(_config(sql), to)
        except CommandError as error:
            raise Refused(f"{database.name}: {error}") from error


@contextmanager
def alone(database: Database) -> Iterator[Any]:
    """No other migration runs meanwhile; without the limit of a statement's time."""
    with database.connection() as connection:
        deadline_s = time.monotonic() + _MIGRATION_S
        while not connection.execute(b"SELECT pg_try_advisory_lock(%d)" % _MIGRATING).fetchone()[0]:  # type: ignore[index]
            if time.monotonic() > deadline_s:
                raise Unavailable(f"{database.name} is being migrated by another process; wait")
            time.sleep(_POLL_S)
        try:
            connection.execute(b"SET statement_timeout = 0")
            connection.answer_s = 0.0  # type: ignore[attr-defined]
            yield connection
        finally:
            connection.close()  # ends the lock and the settings, however it went


def known_versions() -> Sequence[str]:
    """Every version that this mendloop can make, oldest first."""
    found = (Path(__file__).parent / "migrations" / "versions").glob("[0-9]*.py")
    return sorted(path.name.partition("_")[0] for path in found)


def _state(connection: Any) -> SchemaState:
    [[there]] = connection.execute(
        f"SELECT to_regclass('{SCHEMA}.{VERSION_TABLE}') IS NOT NULL".encode()
    ).fetchall()
    version = ""
    if there:
        query = f"SELECT version_num FROM {SCHEMA}.{VERSION_TABLE}"
        version = next((row[0] for row in connection.execute(query.encode()).fetchall()), "")
    known = not version or version in known_versions()
    return SchemaState(version=version, known=known, is_current=version == HEAD)


def _must_be_known(state: SchemaState, database: Database) -> None:
    if not state.known:
        raise Refused(
            f"{database.name} has version {state.version} of mendloop's tables, this mendloop"
            f" knows up to {HEAD}; use the newer mendloop, or go down with it first"
            " (`mendloop database downgrade`)"
        )


def _migrate(connection: Any, *, to: str) -> None:
    from alembic import command

    with _engine_of(connection) as sql:
        command.upgrade(_config(sql), to)


@contextmanager
def _engine_of(connection: Any) -> Iterator[Any]:
    """The same connection as SQLAlchemy sees it; a vendor's error comes out as psycopg's."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import StaticPool

    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool
    )
    connection.autocommit = False
    try:
        with engine.connect() as sql:
            yield sql
            sql.commit()
    except DBAPIError as error:
        raise error.orig or error from None
    finally:
        if not connection.closed:
            connection.rollback()
            connection.autocommit = True


def _config(sql: Any) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = sql
    return config
