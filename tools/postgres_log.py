"""The prediction log's tables in PostgreSQL: made, widened, appended to and asked.

Schema ``mendloop_log``: two tables per target (see ``tools/log_queries.py``) with an index on
(event_time, request_id), and ``extents``, a row per target that triggers keep counting. A request
counts once: of several answers the one served first stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tools import log_queries
from tools.errors import Invalid, MendloopError, Unavailable, Uncertain
from tools.postgres import Database
from tools.prediction_log import LogExtent

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "mendloop_log"
_MAKING = 0x6D656E64_6C6F6773
_TYPES = {"float64": "double precision", "string": "text"}
_IBIS = {"double precision": "float64", "text": "string"}
_LONGEST = 63

_ONCE = (
    "CREATE TABLE IF NOT EXISTS extents (target text PRIMARY KEY,"
    " rows bigint NOT NULL DEFAULT 0, labels bigint NOT NULL DEFAULT 0)",
    """
CREATE OR REPLACE FUNCTION count_predictions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE extents SET rows = rows + (SELECT count(*) FROM arrived) WHERE target = TG_ARGV[0];
  RETURN NULL;
END $$""",
    """
CREATE OR REPLACE FUNCTION count_labels() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE fresh bigint;
BEGIN
  PERFORM 1 FROM extents WHERE target = TG_ARGV[0] FOR UPDATE;
  EXECUTE format('SELECT count(DISTINCT a.request_id) FROM arrived a WHERE NOT EXISTS'
    ' (SELECT 1 FROM %I l WHERE l.request_id = a.request_id'
    ' AND l.appended < (SELECT min(appended) FROM arrived))', TG_TABLE_NAME) INTO fresh;
  UPDATE extents SET labels = labels + fresh WHERE target = TG_ARGV[0];
  RETURN NULL;
END $$""",
)
_TABLES = (
    "CREATE TABLE {p} (request_id text PRIMARY KEY, event_time timestamp NOT NULL,"
    " version text NOT NULL, probability double precision, masked text NOT NULL DEFAULT '',"
    " served_at timestamp NOT NULL)",
    "CREATE INDEX ON {p} (event_time, request_id)",
    "CREATE TABLE {l} (request_id text NOT NULL,"
    " label double precision NOT NULL CHECK (label IN (0, 1)), known_at timestamp NOT NULL,"
    " appended bigint GENERATED ALWAYS AS IDENTITY)",
    "CREATE INDEX ON {l} (request_id, known_at)",
    "CREATE TRIGGER counted AFTER INSERT ON {p} REFERENCING NEW TABLE AS arrived"
    " FOR EACH STATEMENT EXECUTE FUNCTION count_predictions({t})",
    "CREATE TRIGGER counted AFTER INSERT ON {l} REFERENCING NEW TABLE AS arrived"
    " FOR EACH STATEMENT EXECUTE FUNCTION count_labels({t})",
    "INSERT INTO extents (target) VALUES ({t})",
)


class PostgresSource:
    """Implements Source of ``tools/database_log.py`` over bounded connections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def columns(self, table: str) -> Mapping[str, str]:
        """See Source."""
        with self._database.connection() as connection:
            return columns_of(connection, table)

    def rows(self, expression: Any) -> pd.DataFrame:
        """See Source."""
        import ibis
        import pandas as pd

        names = list(expression.columns)
        query = str(ibis.to_sql(expression, dialect="postgres"))
        tables = {found.name for found in _unbound(expression)}
        with self._database.connection() as connection:
            if any(not columns_of(connection, table) for table in tables):
                return pd.DataFrame({name: [] for name in names})
            with connection.cursor(binary=True) as cursor:
                found = cursor.execute(query.encode()).fetchall()
        return pd.DataFrame.from_records(found, columns=names)

    def extents(self, targets: Sequence[str]) -> dict[str, LogExtent]:
        """See Source: counts are kept, the ends are looked up in an index."""
        with self._database.connection() as connection:
            if not columns_of(connection, "extents"):
                return {}
            counts = connection.execute(
                b"SELECT target, rows, labels FROM extents WHERE target = ANY(%s)",
                (list(targets),),
            ).fetchall()
            if not counts:
                return {}
            ends = " UNION ALL ".join(_ends(target) for target, *_ in counts)
            reached = connection.execute(ends.encode()).fetchall()
        by_target = {target: (first, last) for target, first, last in reached}
        return {
            target: LogExtent(
                rows=rows,
                first=by_target[target][0],
                watermark=by_target[target][1],
                labels=labels,
            )
            for target, rows, labels in counts
        }


class PostgresLogWriter:
    """Appends to one target's tables; makes and widens them where that is needed."""

    def __init__(self, database: Database, target: str, features: Mapping[str, str]) -> None:
        """``features``: ``float64`` or ``string`` by name, the columns that this model logs."""
        self._database, self._target, self._features = database, target, dict(features)
        self._predictions, self._labels = log_queries.table_names(target)
        for name in features:
            if len(name.encode()) > _LONGEST:
                raise Invalid(f"PostgreSQL takes names of at most {_LONGEST} bytes", field=name)
        self._is_ready = False

    def prepare(self) -> None:
        """Make the tables, or add the columns that are new; only looks where all is there.

        Raises Invalid where a column has another type, Refused where the role may not make them.
        """
        with self._database.connection() as connection:
            there = columns_of(connection, self._predictions)
        if not (self._features.keys() | log_queries.OWN.keys()) <= there.keys():
            with self._database.transaction(lock=_MAKING) as connection:
                self._make(connection)
            with self._database.connection() as connection:
                there = columns_of(connection, self._predictions)
        for name, kind in self._features.items():
            if there[name] != kind:
                raise Invalid(
                    f"the prediction log of {self._target} has it as {there[name]}, this model"
                    f" as {kind}; rename the column",
                    field=name,
                )
        self._is_ready = True

    def append(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Rows by column: those of ``log_queries.OWN`` and the features. Safe to repeat.

        Raises Unavailable; then nothing was appended, or all of it and a repeat changes nothing.
        """
        if not self._is_ready:
            self.prepare()
        names = [*log_queries.OWN, *self._features]
        kinds = {**dict.fromkeys(log_queries.OWN, "text"), "event_time": "timestamp"}
        kinds |= {"served_at": "timestamp", "probability": "double precision"}
        kinds |= {name: _TYPES[kind] for name, kind in self._features.items()}
        escaped = [quoted(name).replace("%", "%%") for name in names]
        listed = ", ".join(escaped)
        arrays = ", ".join(f"%s::{kinds[name]}[]" for name in names)
        changes = ", ".join(f"{name} = excluded.{name}" for name in escaped[1:])
        table = quoted(self._predictions)
        query = (
            f"INSERT INTO {table} AS held ({listed})"
            f" SELECT DISTINCT ON (request_id) {listed} FROM unnest({arrays}) AS given ({listed})"
            " ORDER BY request_id, served_at"
            f" ON CONFLICT (request_id) DO UPDATE SET {changes}"
            " WHERE excluded.served_at < held.served_at"
        )
        self._run(query, [_writable(columns[name], kinds[name]) for name in names])

    def append_labels(
        self, request_ids: Sequence[str], labels: Sequence[float], known_at: Sequence[Any]
    ) -> None:
        """A later ``known_at`` for the same request corrects the earlier label from then on."""
        if not self._is_ready:
            self.prepare()
        query = (
            f"INSERT INTO {quoted(self._labels)} (request_id, label, known_at)"
            " SELECT * FROM unnest(%s::text[], %s::double precision[], %s::timestamp[])"
        )
        self._run(query, [list(request_ids), list(labels), list(known_at)])

    def _run(self, query: str, values: list[list[Any]]) -> None:
        try:
            with self._database.transaction() as connection:
                connection.execute(query.encode(), values)
        except Uncertain as error:
            raise Unavailable(str(error)) from error
        except MendloopError:
            self._is_ready = False  # the tables may be other ones when it is back
            raise

    def _make(self, connection: Any) -> None:
        connection.execute(
            f"DO $$ BEGIN IF to_regnamespace('{SCHEMA}') IS NULL THEN CREATE SCHEMA {SCHEMA};"
            " END IF; END $$".encode()
        )
        if not columns_of(connection, "extents"):
            for statement in _ONCE:
                connection.execute(statement.encode())
        there = columns_of(connection, self._predictions)
        if not there:
            names = {
                "p": quoted(self._predictions),
                "l": quoted(self._labels),
                "t": f"'{self._target}'",
            }
            for statement in _TABLES:
                connection.execute(statement.format(**names).encode())
        for name, kind in self._features.items():
            if name not in there:
                connection.execute(
                    f"ALTER TABLE {quoted(self._predictions)}"
                    f" ADD COLUMN IF NOT EXISTS {quoted(name)} {_TYPES[kind]}".encode()
                )


def columns_of(connection: Any, table: str) -> dict[str, str]:
    """Names and Ibis types of a table's columns; empty where there is no such table."""
    found = connection.execute(
        b"SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
        b" WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (f"{SCHEMA}.{quoted(table)}",),
    ).fetchall()
    return {name: _IBIS.get(kind, kind) for name, kind in found}


def _unbound(expression: Any) -> Any:
    import ibis.expr.operations as ops

    return expression.op().find(ops.UnboundTable)


def _ends(target: str) -> str:
    table = quoted(log_queries.table_names(target)[0])
    return (
        f"SELECT '{target}' AS target, (SELECT min(event_time) FROM {table}),"
        f" (SELECT max(event_time) FROM {table})"
    )


def _writable(values: Sequence[Any], kind: str) -> list[Any]:
    """Without the one character that PostgreSQL's text cannot hold: it would keep a part out."""
    if kind != "text":
        return list(values)
    return [
        value.replace("\x00", "\ufffd") if isinstance(value, str) else value for value in values
    ]


def quoted(name: str) -> str:
    """As an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'
