"""Adapter: the prediction log as Parquet parts, queried by DuckDB through Ibis.

Parts never change once they are in place, so each is read once into an in-memory DuckDB; a query
first takes in the parts that are new. A part that cannot be read, or does not look like the log, is
left out and reported (``unreadable``): one bad file must not blind the monitor.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.errors import Invalid
from tools.log_parts import require_naive, target_folder
from tools.log_tables import MASK_SEPARATOR, TargetTables, UnreadablePart
from tools.prediction_log import LogExtent

if TYPE_CHECKING:
    import pandas as pd

_ALWAYS = ("request_id", "event_time", "version", "probability", "masked")


class ParquetPredictionLog:
    """Reads the parts below ``predictions_root/<ns>/<name>`` and ``labels_root/<ns>/<name>``.

    Any number of processes may read while servers write. One instance may be shared by threads; it
    holds the rows of the targets it was asked about in memory (about 100 bytes a row and column).
    """

    def __init__(self, predictions_root: Path, labels_root: Path) -> None:
        self._predictions_root = predictions_root
        self._labels_root = labels_root
        self._connection: Any = None
        self._targets: dict[str, TargetTables] = {}
        self._lock = threading.Lock()

    def extent(self, target: str) -> LogExtent:
        """Row counts and the event time reached; cheap enough to ask each second."""
        with self._lock:
            return self._current(target).extent()

    def unreadable(self, target: str) -> tuple[UnreadablePart, ...]:
        """Parts of the target that are left out of every answer, and why."""
        with self._lock:
            return self._current(target).unreadable()

    def predictions(
        self,
        target: str,
        *,
        start: datetime,
        end: datetime,
        columns: Sequence[str] | None = None,
        version: str | None = None,
    ) -> pd.DataFrame:
        """Rows with start <= event_time < end; see the port."""
        require_naive(start=start, end=end)
        with self._lock:
            tables = self._current(target)
            rows = _window(tables, start, end, version)
            chosen = [*_ALWAYS, *_features(tables, columns)]
            return _frame(rows, chosen, asked=columns or ())

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
        """Like ``predictions``, left-joined with the labels known at ``as_of``; see the port."""
        require_naive(start=start, end=end, as_of=as_of)
        with self._lock:
            tables = self._current(target)
            rows = _window(tables, start, end, version)
            known = _known(tables, rows, as_of)
            joined = rows.left_join(known, rows["request_id"] == known["labelled_id"])
            chosen = [*_ALWAYS, *_features(tables, columns), "label", "known_at"]
            return _frame(joined, chosen, asked=columns)

    def _current(self, target: str) -> TargetTables:
        tables = self._targets.get(target)
        if tables is None:
            predictions = target_folder(self._predictions_root, target)
            labels = target_folder(self._labels_root, target)
            tables = TargetTables(self._connect(), target, predictions, labels)
            self._targets[target] = tables
        tables.refresh()
        return tables

    def _connect(self) -> Any:
        if self._connection is None:
            import ibis

            self._connection = ibis.duckdb.connect()
        return self._connection


def _window(tables: TargetTables, start: datetime, end: datetime, version: str | None) -> Any:
    rows = tables.predictions()
    rows = rows.filter((rows["event_time"] >= start) & (rows["event_time"] < end))
    return rows if version is None else rows.filter(rows["version"] == version)


def _known(tables: TargetTables, rows: Any, as_of: datetime) -> Any:
    """One label per request: the last one known at ``as_of``, of equals the last one appended."""
    labels = tables.labels().semi_join(rows, "request_id")
    visible = labels.filter(labels["known_at"] <= as_of)
    newest = [visible["known_at"], visible["appended"]]
    return visible.group_by(labelled_id=visible["request_id"]).agg(
        label=visible["label"].last(order_by=newest),
        known_at=visible["known_at"].max(),
    )


def _features(tables: TargetTables, columns: Sequence[str] | None) -> list[str]:
    logged = tables.features()
    if columns is None:
        return list(logged)
    wanted = [name for name in dict.fromkeys(columns) if name not in _ALWAYS]
    unknown = [name for name in wanted if name not in logged]
    if unknown and not tables.is_empty():
        raise Invalid(
            f"the prediction log of {tables.target} has no such column; it has "
            f"{', '.join(logged) or 'no features'}",
            field=unknown[0],
        )
    return [name for name in wanted if name in logged]


def _frame(rows: Any, chosen: list[str], *, asked: Sequence[str]) -> pd.DataFrame:
    ordered = rows.order_by(["event_time", "request_id"]).select(chosen)
    frame: pd.DataFrame = ordered.to_pyarrow().to_pandas()
    frame["masked"] = split_masked(frame["masked"])
    for name in asked:
        if name not in frame:
            frame[name] = float("nan")
    return frame


def split_masked(joined: pd.Series[str]) -> pd.Series[Any]:
    """The masked columns of each row as a tuple; few distinct ones, so each is split once."""
    import numpy as np
    import pandas as pd

    codes, texts = pd.factorize(joined)
    tuples = np.empty(len(texts), dtype=object)
    for i, text in enumerate(texts):
        tuples[i] = tuple(text.split(MASK_SEPARATOR)) if text else ()
    return pd.Series(tuples[codes], index=joined.index, dtype=object)
