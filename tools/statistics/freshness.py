"""Finds feeds whose values repeat unchanged for longer than nature would let them.

Rows of a series (one airport's weather) share the value of the hour, so repeats as such are normal;
a freeze is *all* values of the feed repeating together, over more covered event time than allowed.
Nulls equal nulls here: a feed that delivers nothing repeats nothing for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd

from tools.values import Value


class Run(Value):
    """A stretch of one series in which all values of the feed stayed the same."""

    series: str
    start: datetime
    end: datetime
    rows: int
    covered_hours: float
    """Event time with rows; a gap counts only as far as rows could have shown a change in it."""
    is_null: bool
    """Every value of the feed was missing."""


class SeriesRuns(Value):
    """The longest run of one series and how much of its time was observed at all."""

    series: str
    rows: int
    covered_hours: float
    longest: Run


def feed_runs(
    frame: pd.DataFrame, *, time: str, key: str, columns: Sequence[str], max_gap_hours: float
) -> tuple[SeriesRuns, ...]:
    """The longest run of each series of a feed, ordered by series.

    ``frame`` holds rows with the event time, the series key and the feed's columns, in any order.
    A gap between two rows that is longer than ``max_gap_hours`` covers nothing: a night without
    rows is no evidence that the feed slept through it.
    """
    found = []
    for series, rows in frame.groupby(key, sort=True, observed=True):
        ordered = rows.sort_values(time, kind="stable")
        found.append(_series_runs(str(series), ordered, time, list(columns), max_gap_hours))
    return tuple(found)


def _series_runs(
    series: str, rows: pd.DataFrame, time: str, columns: list[str], max_gap_hours: float
) -> SeriesRuns:
    moments = rows[time].to_numpy(dtype="datetime64[us]")
    values = rows[columns]
    run = np.cumsum(_changes(values))
    gaps = np.diff(moments).astype(np.int64) / 3.6e9
    gaps = np.where(gaps <= max_gap_hours, gaps, 0.0)
    inside = run[1:] == run[:-1]
    covered = np.bincount(run[1:][inside], weights=gaps[inside], minlength=run[-1] + 1)
    longest = int(np.argmax(covered))
    first, last = np.searchsorted(run, longest), np.searchsorted(run, longest, side="right") - 1
    return SeriesRuns(
        series=series,
        rows=len(rows),
        covered_hours=float(gaps.sum()),
        longest=Run(
            series=series,
            start=pd.Timestamp(moments[first]).to_pydatetime(),
            end=pd.Timestamp(moments[last]).to_pydatetime(),
            rows=int(last - first + 1),
            covered_hours=float(covered[longest]),
            is_null=bool(values.iloc[first].isna().all()),
        ),
    )


def _changes(values: pd.DataFrame) -> np.ndarray:
    """1 where a row's values differ from the row before, 0 where they repeat (and in row 0)."""
    changed = np.zeros(len(values), dtype=np.int64)
    for name in values.columns:
        codes, _ = pd.factorize(values[name], use_na_sentinel=True)
        changed[1:] |= codes[1:] != codes[:-1]
    return changed
