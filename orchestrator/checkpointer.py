"""Where LangGraph keeps the threads of open incidents: a file, or PostgreSQL.

Both write before a step counts as done (``durability="sync"``) and share LangGraph's serializer.
The journal is the truth; a thread only says where it stood, and is deleted with its incident.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import BaseCheckpointSaver

if TYPE_CHECKING:
    from psycopg import Cursor

    from tools.postgres import Database


def file_checkpointer(path: Path) -> BaseCheckpointSaver[Any]:
    """In one SQLite file."""
    import sqlite3

    from langgraph.checkpoint.sqlite import SqliteSaver

    _keep_to_ourselves()
    return SqliteSaver(sqlite3.connect(path, check_same_thread=False))


def postgres_checkpointer(database: Database) -> BaseCheckpointSaver[Any]:
    """In PostgreSQL, beside mendloop's own tables; makes LangGraph's where they are missing.

    Raises Unavailable, then and later, when the database cannot be written.
    """
    from langgraph.checkpoint.postgres import PostgresSaver
    from psycopg.rows import dict_row

    from orchestrator.database import alone

    class PooledSaver(PostgresSaver):
        """Takes a connection of ours for each operation: bounded in time, errors translated."""

        def __init__(self) -> None:
            super().__init__(None)  # type: ignore[arg-type]

        @contextmanager
        def _cursor(self, *, pipeline: bool = False) -> Iterator[Cursor[dict[str, Any]]]:
            with database.connection() as connection:
                if not pipeline:
                    with connection.cursor(binary=True, row_factory=dict_row) as cursor:
                        yield cursor
                    return
                with (  # one implicit transaction, in one round trip
                    connection.pipeline(),
                    connection.cursor(binary=True, row_factory=dict_row) as cursor,
                ):
                    yield cursor

    class SettingUp(PostgresSaver):
        """On one connection, alone."""

    _keep_to_ourselves()
    saver = PooledSaver()
    if _version(database) < len(PostgresSaver.MIGRATIONS) - 1:
        with alone(database) as connection:
            SettingUp(connection).setup()
    return saver


def _version(database: Database) -> int:
    """The newest of LangGraph's own migrations that the database has; -1 for none."""
    with database.connection() as connection:
        row = connection.execute(b"SELECT to_regclass('checkpoint_migrations')").fetchone()
        if row is None or row[0] is None:
            return -1
        row = connection.execute(b"SELECT max(v) FROM checkpoint_migrations").fetchone()
    return -1 if row is None or row[0] is None else int(row[0])


def _keep_to_ourselves() -> None:
    """langsmith comes along with langgraph: nothing about incidents may leave this machine."""
    os.environ["LANGSMITH_TRACING"] = "false"
    os.environ["LANGCHAIN_TRACING_V2"] = "false"
