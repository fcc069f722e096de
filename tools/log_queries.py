"""The prediction log's questions as Ibis expressions: one spelling for every database.

Tables of a target, in any database that Ibis speaks to (columns may stand in any order):

    <namespace>__<name>__predictions   request_id, event_time, version, probability, masked (names
                                       joined by U+001F), served_at, and a column per feature
    <namespace>__<name>__labels        request_id, label (0 or 1), known_at, appended (grows)

Times are naive UTC. Every question is about a window or an aggregate: no table is ever read whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tools.errors import Invalid
from tools.log_parts import TARGET_NAME

OWN: Mapping[str, str] = {
    "request_id": "string",
    "event_time": "timestamp",
    "version": "string",
    "probability": "float64",
    "masked": "string",
    "served_at": "timestamp",
}
"""The predictions' own columns; the others are features, ``float64`` or ``string``."""
LABELS: Mapping[str, str] = {
    "request_id": "string",
    "label": "float64",
    "known_at": "timestamp",
    "appended": "int64",
}
SHOWN = ("request_id", "event_time", "version", "probability", "masked")
_LONGEST = 63
"""Bytes of a name in PostgreSQL; others allow more."""


def table_names(target: str) -> tuple[str, str]:
    """The tables with a target's predictions and labels. Raises Invalid on a malformed target."""
    if not TARGET_NAME.fullmatch(target):
        raise Invalid(f"expected namespace/name, got {target!r}", field="target")
    stem = target.replace("/", "__")
    if len(stem) + len("__predictions") > _LONGEST:
        stem = f"{stem[:36]}__{hashlib.sha256(target.encode()).hexdigest()[:12]}"
    return f"{stem}__predictions", f"{stem}__labels"


def unbound(name: str, columns: Mapping[str, str]) -> Any:
    """A table that is only a name and columns, for databases that are asked in SQL."""
    import ibis

    return ibis.table(dict(columns), name=name)


def window(
    predictions: Any,
    columns: Sequence[str],
    *,
    start: datetime,
    end: datetime,
    version: str | None,
) -> Any:
    """Rows with start <= event_time < end, in order."""
    rows = _inside(predictions, start, end, version)
    return rows.select(*SHOWN, *columns).order_by(["event_time", "request_id"])


def cohort(
    predictions: Any,
    labels: Any,
    columns: Sequence[str],
    *,
    start: datetime,
    end: datetime,
    as_of: datetime,
    version: str | None,
) -> Any:
    """The same with the label that was known at ``as_of``: the last known, of equals the last
    appended."""
    import ibis

    rows = _inside(predictions, start, end, version)
    asked = labels.semi_join(rows, "request_id")
    visible = asked.filter(asked["known_at"] <= _instant(as_of))
    newest = ibis.row_number().over(
        ibis.window(
            group_by=visible["request_id"],
            order_by=[visible["known_at"].desc(), visible["appended"].desc()],
        )
    )
    ranked = visible.mutate(rank_=newest)
    known = ranked.filter(ranked["rank_"] == 0).select(
        labelled_id="request_id", label="label", known_at="known_at"
    )
    joined = rows.left_join(known, rows["request_id"] == known["labelled_id"])
    chosen = joined.select(*SHOWN, *columns, "label", "known_at")
    return chosen.order_by(["event_time", "request_id"])


def extent(predictions: Any, labels: Any) -> Any:
    """One row: how many predictions, the first and last event time, how many labelled requests."""
    counted = predictions.aggregate(
        rows=predictions.count(),
        first=predictions["event_time"].min(),
        watermark=predictions["event_time"].max(),
    )
    labelled = labels.aggregate(labels=labels["request_id"].nunique())
    return counted.cross_join(labelled)


def _inside(predictions: Any, start: datetime, end: datetime, version: str | None) -> Any:
    times = predictions["event_time"]
    rows = predictions.filter((times >= _instant(start)) & (times < _instant(end)))
    return rows if version is None else rows.filter(rows["version"] == version)


def _instant(at: datetime) -> Any:
    import ibis

    return ibis.timestamp(at.isoformat(sep=" ", timespec="microseconds"))
