"""The parts of one target's log, taken into DuckDB tables as they appear, one row per request."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from tools.errors import Unavailable
from tools.log_parts import LABEL_FIELDS, PREDICTION_FIELDS, RESERVED
from tools.prediction_log import LogExtent
from tools.values import Value

log = structlog.get_logger(__name__)

MASK_SEPARATOR = "\x1f"
"""Between the names in the ``masked`` text of a row: the unit separator, part of no name."""

_MASKED_AS_TEXT = "REPLACE (coalesce(array_to_string(masked, chr(31)), '') AS masked)"

_Signature = tuple[str, int, int]
"""Name, size and mtime: what tells that a file is still the one that was read."""


class UnreadablePart(Value):
    """A file that is left out of the log, and why."""

    path: Path
    reason: str


class TargetTables:
    """Two in-memory tables that follow two folders of parts. Not safe for threads."""

    def __init__(self, connection: Any, target: str, predictions: Path, labels: Path) -> None:
        self.target = target
        self._database = connection
        self._stem = target.replace("/", ".")
        self._folders = (predictions, labels)
        self._seen: tuple[dict[_Signature, Path], ...] = ({}, {})
        self._features: dict[str, pa.DataType] = {}
        self._columns: set[str] = set()
        self._unreadable: dict[Path, UnreadablePart] = {}
        self._labelled = 0
        self._extent: LogExtent | None = None
        self._reset()

    def predictions(self) -> Any:
        """Ibis table: the log's columns (``masked`` joined to a text) and every feature."""
        return self._database.table(self._name("predictions"))

    def labels(self) -> Any:
        """Ibis table: request_id, label, known_at and ``appended``, which grows with each row."""
        return self._database.table(self._name("labels"))

    def features(self) -> tuple[str, ...]:
        """Names of the feature columns, in the order in which they came."""
        return tuple(self._features)

    def is_empty(self) -> bool:
        """Whether no prediction was read yet: then nothing is known of the columns."""
        return self.extent().rows == 0

    def unreadable(self) -> tuple[UnreadablePart, ...]:
        """Files left out as of the last refresh."""
        return tuple(self._unreadable[path] for path in sorted(self._unreadable))

    def extent(self) -> LogExtent:
        """Counts as of the last refresh."""
        if self._extent is None:
            rows, first, last = self._sql(
                f"SELECT count(*), min(event_time), max(event_time) FROM {self._id('predictions')}"
            )
            self._extent = LogExtent(rows=rows, first=first, watermark=last, labels=self._labelled)
        return self._extent

    def refresh(self) -> None:
        """Take in the parts that are new. Raises Unavailable when a folder cannot be listed."""
        found = [_parts(folder) for folder in self._folders]
        if any(seen.keys() - now.keys() for seen, now in zip(self._seen, found, strict=True)):
            log.warning("prediction_log.reread", target=self.target, reason="a part is gone")
            self._reset()
        self._take_in(0, found[0], self._read_predictions, self._add_predictions)
        self._take_in(1, found[1], _read_labels, self._add_labels)
        gone = self._unreadable.keys() - {path for parts in found for path in parts.values()}
        for path in gone:
            del self._unreadable[path]

    def _take_in(self, which: int, found: Mapping[_Signature, Path], read: Any, add: Any) -> None:
        tables = []
        for signature in sorted(found.keys() - self._seen[which].keys()):
            path = found[signature]
            try:
                tables.append(read(path))
            except (OSError, pa.ArrowException, _ForeignPart) as error:
                self._leave_out(path, str(error))
                continue
            self._seen[which][signature] = path
            self._unreadable.pop(path, None)
        if tables:
            add(pa.concat_tables(tables, promote_options="default"))
            self._extent = None

    def _leave_out(self, path: Path, reason: str) -> None:
        if path not in self._unreadable:
            log.warning("prediction_log.part_left_out", path=str(path), reason=reason)
        self._unreadable[path] = UnreadablePart(path=path, reason=reason)

    def _read_predictions(self, path: Path) -> pa.Table:
        table = _read_part(path, PREDICTION_FIELDS)
        for field in table.schema:
            if field.name not in PREDICTION_FIELDS:
                self._check_feature(field)
        for field in table.schema:
            if field.name not in PREDICTION_FIELDS:
                self._features.setdefault(field.name, field.type)
        return table

    def _check_feature(self, field: pa.Field) -> None:
        if field.type not in (pa.float64(), pa.string()):
            raise _ForeignPart(f"column {field.name} is {field.type}, expected double or string")
        taken = {name.casefold(): name for name in (*RESERVED, *self._features)}
        other = taken.get(field.name.casefold(), field.name)
        if other != field.name or other in RESERVED:
            raise _ForeignPart(f"column {field.name} differs only by case from {other}, if at all")
        known = self._features.get(field.name, field.type)
        if field.type != known:
            raise _ForeignPart(f"column {field.name} is {field.type}, other parts say {known}")

    def _add_predictions(self, parts: pa.Table) -> None:
        """Insert rows; of several with one request id, the one served first stays."""
        table, raw = self._id("predictions"), self._database.con
        self._widen(table)
        raw.register("arrived", parts)
        raw.execute("BEGIN")
        if self._sql(f"""
            SELECT count(*) = count(DISTINCT request_id)
               AND NOT EXISTS (FROM {table} SEMI JOIN arrived USING (request_id))
            FROM arrived""") == (True,):
            raw.execute(f"INSERT INTO {table} BY NAME SELECT * {_MASKED_AS_TEXT} FROM arrived")
        else:
            self._merge(table)
        raw.execute("COMMIT")
        raw.unregister("arrived")

    def _merge(self, table: str) -> None:
        """Insert ``arrived`` when some of it was served before: rare, and a good deal slower."""
        raw = self._database.con
        raw.execute(f"""
            CREATE TEMP TABLE fresh AS SELECT * {_MASKED_AS_TEXT} FROM arrived
            QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY served_at) = 1""")
        raw.execute(f"""
            DELETE FROM fresh USING {table} AS old
            WHERE old.request_id = fresh.request_id AND old.served_at <= fresh.served_at""")
        raw.execute(f"DELETE FROM {table} WHERE request_id IN (SELECT request_id FROM fresh)")
        raw.execute(f"INSERT INTO {table} BY NAME SELECT * FROM fresh")
        raw.execute("DROP TABLE fresh")

    def _add_labels(self, parts: pa.Table) -> None:
        raw = self._database.con
        raw.register("new labels", parts)
        (first_labels,) = self._sql(f"""
            SELECT count(DISTINCT request_id)
            FROM "new labels" ANTI JOIN {self._id("labels")} USING (request_id)""")
        raw.execute(f"""
            INSERT INTO {self._id("labels")}
            SELECT request_id, label, known_at, nextval('appended') FROM "new labels" """)
        raw.unregister("new labels")
        self._labelled += first_labels

    def _widen(self, table: str) -> None:
        for name in self._features.keys() - self._columns:
            sql_type = "DOUBLE" if self._features[name] == pa.float64() else "VARCHAR"
            quoted = name.replace('"', '""')
            self._database.con.execute(f'ALTER TABLE {table} ADD COLUMN "{quoted}" {sql_type}')
            self._columns.add(name)

    def _reset(self) -> None:
        self._seen = ({}, {})
        self._features = {}
        self._columns = set()
        self._labelled = 0
        self._extent = None
        raw = self._database.con
        raw.execute("CREATE SEQUENCE IF NOT EXISTS appended")
        raw.execute(f"""
            CREATE OR REPLACE TABLE {self._id("predictions")} (
                request_id VARCHAR, event_time TIMESTAMP, version VARCHAR, probability DOUBLE,
                masked VARCHAR, served_at TIMESTAMP)""")
        raw.execute(f"""
            CREATE OR REPLACE TABLE {self._id("labels")} (
                request_id VARCHAR, label DOUBLE, known_at TIMESTAMP, appended BIGINT)""")

    def _sql(self, query: str) -> tuple[Any, ...]:
        [row] = self._database.con.execute(query).fetchall()
        return tuple(row)

    def _name(self, kind: str) -> str:
        return f"{kind} of {self._stem}"

    def _id(self, kind: str) -> str:
        return f'"{self._name(kind)}"'


class _ForeignPart(Exception):
    """A Parquet file that is not a part of this log."""


def _read_labels(path: Path) -> pa.Table:
    return _read_part(path, LABEL_FIELDS).select(list(LABEL_FIELDS))


def _read_part(path: Path, fields: Mapping[str, pa.DataType]) -> pa.Table:
    table = pq.ParquetFile(path).read()
    for name, kind in fields.items():
        index = table.schema.get_field_index(name)
        if index < 0:
            raise _ForeignPart(f"column {name} is missing")
        if table.schema.field(index).type != kind:
            raise _ForeignPart(f"column {name} is {table.schema.field(index).type}, not {kind}")
        if name in ("request_id", "event_time", "known_at") and table.column(index).null_count:
            raise _ForeignPart(f"column {name} has nulls")
    return table


def _parts(folder: Path) -> dict[_Signature, Path]:
    try:
        entries: Iterable[os.DirEntry[str]] = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise Unavailable(
            f"cannot list the prediction log {folder}: {error.strerror}; fix its permissions"
        ) from error
    found = {}
    for entry in entries:
        if entry.name.endswith(".parquet") and not entry.name.startswith("."):
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue
            found[(entry.name, status.st_size, status.st_mtime_ns)] = Path(entry.path)
    return found
