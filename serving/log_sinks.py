"""Where the prediction log's parts go: a folder of Parquet files, or a database by URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from tools.log_parts import PREDICTION_FIELDS, write_part
from tools.log_tables import MASK_SEPARATOR

if TYPE_CHECKING:
    from tools.postgres_log import PostgresLogWriter

_ANSWER_S = 5.0
"""A server that is told to end waits for one answer at most."""


class LogSink(Protocol):
    """Takes parts of the log; used by one thread."""

    @property
    def name(self) -> str:
        """What to call it in a log."""

    def warm_up(self) -> None:
        """Load what the first part would load while requests wait."""

    def write(self, name: str, part: pa.Table) -> None:
        """Keep the rows; the same part again changes nothing. Raises a MendloopError otherwise."""


class FolderSink:
    """One Parquet file per part."""

    def __init__(self, folder: Path) -> None:
        self.name, self._folder = str(folder), folder

    def warm_up(self) -> None:
        """See LogSink."""

    def write(self, name: str, part: pa.Table) -> None:
        """See LogSink."""
        write_part(self._folder, name, part)


class DatabaseSink:
    """Rows of the target's tables in PostgreSQL, one statement per part."""

    def __init__(self, url: str, target: str, schema: pa.Schema) -> None:
        """Connects to nothing yet. Raises Invalid for a malformed URL."""
        from tools.postgres import Database
        from tools.postgres_log import SCHEMA, PostgresLogWriter

        database = Database(
            url,
            application="mendloop-serving",
            connections=1,
            answer_s=_ANSWER_S,
            search_path=SCHEMA,
        )
        self.name = database.name
        self._writer: PostgresLogWriter = PostgresLogWriter(database, target, _features(schema))

    def warm_up(self) -> None:
        """See LogSink."""
        import psycopg  # noqa: F401
        import sqlalchemy.pool  # noqa: F401

    def write(self, name: str, part: pa.Table) -> None:
        """See LogSink. A request counts once, so a part that was written before changes nothing."""
        columns = part.to_pydict()
        columns["masked"] = [MASK_SEPARATOR.join(names or ()) for names in columns["masked"]]
        self._writer.append(columns)


def _features(schema: pa.Schema) -> Mapping[str, str]:
    return {
        field.name: "float64" if field.type == pa.float64() else "string"
        for field in schema
        if field.name not in PREDICTION_FIELDS
    }
