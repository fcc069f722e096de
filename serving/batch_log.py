"""Appends scored files to the prediction log, so that labels are joined and drift is observed.

A file's rows have the ids of its output. Parts hold the same rows whatever the chunks were and are
named by input and version, so that a run that is repeated, or was killed, appends nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from serving.log_sinks import DatabaseSink, FolderSink, LogSink
from serving.requests import Row
from tools.log_parts import feature_types, prediction_schema
from tools.schema import FeatureSchema

PART_ROWS = 20_480


class _OnceSink(FolderSink):
    """A folder in which a part that is there stays as it is: parts are never changed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._place = folder

    def write(self, name: str, part: pa.Table) -> None:
        """See LogSink."""
        if not (self._place / name).exists():
            super().write(name, part)


class BatchLog:
    """The log of one file's rows."""

    def __init__(
        self,
        place: Path | str,
        target: str,
        schema: FeatureSchema,
        *,
        masked: Sequence[str] = (),
        served_at: datetime | None = None,
    ) -> None:
        """``place``: the target's folder, or the URL of a PostgreSQL database."""
        self._schema = prediction_schema(feature_types(schema))
        self._time_column, self._masked = schema.time_column, tuple(masked)
        self._served_at = served_at or datetime.now(UTC).replace(tzinfo=None)
        self._sink: LogSink = (
            _OnceSink(place)
            if isinstance(place, Path)
            else DatabaseSink(place, target, self._schema)
        )
        self._waiting: list[pa.Table] = []
        self._held = 0
        self.rows = 0
        """Rows that are in the log."""

    def append(self, rows: Sequence[Row], scored: pa.Table) -> None:
        """Rows as the reader gave them and the output's table of the same rows.

        Raises a MendloopError when the log does not take them; call it all again later.
        """
        self._waiting.append(self._table(rows, scored))
        self._held += len(rows)
        while self._held >= PART_ROWS:
            self._write(PART_ROWS)

    def close(self) -> None:
        """Write what is left."""
        if self._held:
            self._write(self._held)

    def _write(self, count: int) -> None:
        table = pa.concat_tables(self._waiting)
        part, rest = table.slice(0, count), table.slice(count)
        first = part.column("request_id")[0].as_py()
        prefix, _, row = first.rpartition("-")
        self._sink.write(f"{_as_file_name(prefix)}-{int(row):012d}.parquet", part)
        self.rows += count
        self._waiting, self._held = [rest], rest.num_rows

    def _table(self, rows: Sequence[Row], scored: pa.Table) -> pa.Table:
        count = len(rows)
        columns: dict[str, Any] = {
            "request_id": scored.column("request_id"),
            "event_time": [row[self._time_column] for row in rows],
            "version": scored.column("version"),
            "probability": scored.column("probability"),
            "masked": [self._masked] * count,
            "served_at": [self._served_at] * count,
        }
        for name in self._schema.names[len(columns) :]:
            columns[name] = [row[name] for row in rows]
        return pa.Table.from_pydict(columns, schema=self._schema)


def _as_file_name(text: str) -> str:
    """A version may hold any visible character; a file name may not."""
    return "".join(c if c.isalnum() or c in "-_." else f"%{ord(c):02x}" for c in text)
