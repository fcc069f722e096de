"""Adapter: the prediction log in a database, asked through Ibis, by URL.

``postgresql://...`` goes over mendloop's own bounded connections, and is written to by its servers
(``tools/postgres_log.py`` has the tables). Any other URL that Ibis connects to is read where the
team's own ingestion fills the tables; ``tools/log_queries.py`` says which columns they have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from tools import log_queries
from tools.errors import Invalid
from tools.ibis_source import IbisSource
from tools.log_parts import require_naive
from tools.parquet_log import split_masked
from tools.postgres import ANSWER_S, Database
from tools.postgres_errors import is_postgres
from tools.postgres_log import SCHEMA, PostgresSource
from tools.prediction_log import LogExtent

if TYPE_CHECKING:
    import pandas as pd

EMPTY = LogExtent(rows=0, first=None, watermark=None, labels=0)
_WINDOW_ANSWER_S = 6 * ANSWER_S
"""A window may be some hundred thousand rows."""


class Source(Protocol):
    """A database that answers the log's questions."""

    def columns(self, table: str) -> Mapping[str, str]:
        """Names and Ibis types of a table's columns; empty where there is no such table."""

    def rows(self, expression: Any) -> pd.DataFrame:
        """What an expression over ``unbound`` tables comes to. Raises Unavailable."""

    def extents(self, targets: Sequence[str]) -> dict[str, LogExtent]:
        """How far the logs of these targets reach; those without tables are left out."""


class DatabasePredictionLog:
    """Implements PredictionLog; may be shared by threads."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet. Raises Invalid for a malformed URL."""
        self._source: Source = (
            PostgresSource(
                Database(
                    url,
                    application="mendloop-log",
                    answer_s=_WINDOW_ANSWER_S,
                    read_only=True,
                    search_path=SCHEMA,
                )
            )
            if is_postgres(url)
            else IbisSource(url)
        )

    def extent(self, target: str) -> LogExtent:
        """See PredictionLog; in PostgreSQL at the same small cost however long the log is."""
        return self.extents([target])[target]

    def extents(self, targets: Iterable[str]) -> dict[str, LogExtent]:
        """Of many targets; in PostgreSQL with a few questions for all of them."""
        wanted = list(targets)
        for target in wanted:
            log_queries.table_names(target)
        return dict.fromkeys(wanted, EMPTY) | self._source.extents(wanted)

    def predictions(
        self,
        target: str,
        *,
        start: datetime,
        end: datetime,
        columns: Sequence[str] | None = None,
        version: str | None = None,
    ) -> pd.DataFrame:
        """See PredictionLog."""
        require_naive(start=start, end=end)
        table, chosen = self._table(target, columns)
        expression = log_queries.window(table, chosen, start=start, end=end, version=version)
        return _frame(self._rows(expression), chosen, columns or ())

    def cohort(
        self,
        target: str,
        *,
        start: datetime,
        end: datetime,
        as_of: datetime,
        columns: Sequence[str] = (),
        version: str | None = None,
    ) -> pd.DataFrame:
        """See PredictionLog."""
        require_naive(start=start, end=end, as_of=as_of)
        table, chosen = self._table(target, columns)
        labels = log_queries.unbound(log_queries.table_names(target)[1], log_queries.LABELS)
        expression = log_queries.cohort(
            table, labels, chosen, start=start, end=end, as_of=as_of, version=version
        )
        return _frame(self._rows(expression), chosen, columns)

    def _rows(self, expression: Any) -> pd.DataFrame:
        return self._source.rows(expression)

    def _table(self, target: str, asked: Sequence[str] | None) -> tuple[Any, list[str]]:
        """The target's predictions, and which of its features to show."""
        name, _ = log_queries.table_names(target)
        found = self._source.columns(name)
        features = {c: kind for c, kind in found.items() if c not in log_queries.OWN}
        table = log_queries.unbound(name, {**log_queries.OWN, **features})
        if asked is None:
            return table, list(features)
        wanted = [c for c in dict.fromkeys(asked) if c not in log_queries.SHOWN]
        unknown = [c for c in wanted if c not in features]
        if unknown and found and self.extent(target).rows:
            raise Invalid(
                f"the prediction log of {target} has no such column; it has "
                f"{', '.join(features) or 'no features'}",
                field=unknown[0],
            )
        return table, [c for c in wanted if c in features]


def _frame(rows: pd.DataFrame, chosen: Sequence[str], asked: Sequence[str]) -> pd.DataFrame:
    """With the types that the port promises."""
    rows["masked"] = split_masked(rows["masked"].fillna("").astype(object))
    for name in ("event_time", "known_at"):
        if name in rows:
            rows[name] = rows[name].astype("datetime64[us]")
    for name in ("probability", "label"):
        if name in rows:
            rows[name] = rows[name].astype("float64")
    for name in asked:
        if name not in rows:
            rows[name] = float("nan")
    return rows
