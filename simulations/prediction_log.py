"""In-memory prediction log for rehearsals and tests: the port's promises in plain pandas."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd

from tools.errors import Invalid
from tools.log_parts import LABEL_FIELDS, PREDICTION_FIELDS, require_naive
from tools.prediction_log import LogExtent

_ALWAYS = ["request_id", "event_time", "version", "probability", "masked"]
_EMPTY = pd.DataFrame(
    {
        "request_id": pd.Series(dtype=object),
        "event_time": pd.Series(dtype="datetime64[us]"),
        "version": pd.Series(dtype=object),
        "probability": pd.Series(dtype=float),
        "masked": pd.Series(dtype=object),
        "served_at": pd.Series(dtype="datetime64[us]"),
    }
)
_NO_LABELS = pd.DataFrame(
    {
        "request_id": pd.Series(dtype=object),
        "label": pd.Series(dtype=float),
        "known_at": pd.Series(dtype="datetime64[us]"),
    }
)


class InMemoryPredictionLog:
    """A prediction log that a world appends to as its event time passes."""

    def __init__(self) -> None:
        self._predictions: dict[str, pd.DataFrame] = {}
        self._labels: dict[str, pd.DataFrame] = {}
        """In the order in which they became known."""
        self._labelled: dict[str, int] = {}

    def append_predictions(self, target: str, frame: pd.DataFrame) -> None:
        """Add rows with the log's columns and any features; the first served of one id stays."""
        fresh = frame.assign(
            served_at=frame.get("served_at", frame["event_time"]),
            masked=frame["masked"].map(tuple),
        ).astype({"event_time": "datetime64[us]", "served_at": "datetime64[us]"})
        rows = [part for part in (self._predictions.get(target), fresh) if part is not None]
        served = pd.concat(rows, ignore_index=True).sort_values("served_at", kind="stable")
        self._predictions[target] = served.drop_duplicates("request_id").reset_index(drop=True)

    def append_labels(self, target: str, frame: pd.DataFrame) -> None:
        """Add ``request_id, label, known_at``; a later ``known_at`` corrects from then on."""
        fresh = frame[list(LABEL_FIELDS)].astype({"label": float, "known_at": "datetime64[us]"})
        rows = [part for part in (self._labels.get(target), fresh) if part is not None]
        told = pd.concat(rows, ignore_index=True)
        self._labels[target] = told.sort_values("known_at", kind="stable", ignore_index=True)
        self._labelled[target] = int(told["request_id"].nunique())

    def extent(self, target: str) -> LogExtent:
        """Row counts and the event time reached."""
        rows = self._predictions.get(target, _EMPTY)
        labels = self._labelled.get(target, 0)
        if rows.empty:
            return LogExtent(rows=0, first=None, watermark=None, labels=labels)
        times = rows["event_time"]
        first, last = times.min().to_pydatetime(), times.max().to_pydatetime()
        return LogExtent(rows=len(rows), first=first, watermark=last, labels=labels)

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
        rows = self._predictions.get(target, _EMPTY)
        chosen = _ALWAYS + _features(rows, columns)
        inside = (rows["event_time"] >= start) & (rows["event_time"] < end)
        if version is not None:
            inside &= rows["version"] == version
        window = rows.loc[inside, list(dict.fromkeys(c for c in chosen if c in rows))]
        times = window["event_time"]
        if not (times.is_monotonic_increasing and times.is_unique):
            window = window.sort_values(["event_time", "request_id"])
        return window.reset_index(drop=True).reindex(columns=chosen)

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
        require_naive(as_of=as_of)
        rows = self.predictions(target, start=start, end=end, columns=columns, version=version)
        labels = self._labels.get(target, _NO_LABELS)
        known = labels[: int(labels["known_at"].searchsorted(pd.Timestamp(as_of), side="right"))]
        newest = known.drop_duplicates("request_id", keep="last")
        found = pd.Index(newest["request_id"]).get_indexer(pd.Index(rows["request_id"]))
        told = newest[["label", "known_at"]].reset_index(drop=True).reindex(found)
        return rows.assign(label=told["label"].to_numpy(), known_at=told["known_at"].to_numpy())


def _features(rows: pd.DataFrame, columns: Sequence[str] | None) -> list[str]:
    logged = [name for name in rows.columns if name not in PREDICTION_FIELDS]
    if columns is None:
        return logged
    wanted = [name for name in dict.fromkeys(columns) if name not in _ALWAYS]
    unknown = [name for name in wanted if name not in logged]
    if unknown and not rows.empty:
        raise Invalid(f"the prediction log has no such column; it has {logged}", field=unknown[0])
    return wanted
