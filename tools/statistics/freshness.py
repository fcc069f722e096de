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
from numpy.typing import NDArray

from tools.values import Value

Codes = NDArray[np.int64]


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
    moments = frame[time].to_numpy(dtype="datetime64[us]")
    member, names = pd.factorize(frame[key], sort=True)
    values = np.array([_codes(frame[name]) for name in columns]).reshape(len(columns), len(frame))
    ordered = np.lexsort((moments, member))
    ends = np.searchsorted(member[ordered], np.arange(len(names) + 1))
    return tuple(
        _series_runs(str(name), moments[rows], values[:, rows], max_gap_hours)
        for name, rows in zip(names, np.split(ordered, ends)[1:-1], strict=True)
    )


def _codes(values: pd.Series) -> Codes:
    """A number per distinct value; -1 where it is missing."""
    codes, _ = pd.factorize(values, use_na_sentinel=True)
    return np.asarray(codes)


def _series_runs(
    series: str, moments: NDArray[np.datetime64], values: Codes, max_gap_hours: float
) -> SeriesRuns:
    run = np.cumsum(_changes(values))
    gaps = np.diff(moments).astype(np.int64) / 3.6e9
    gaps = np.where(gaps <= max_gap_hours, gaps, 0.0)
    inside = run[1:] == run[:-1]
    covered = np.bincount(run[1:][inside], weights=gaps[inside], minlength=run[-1] + 1)
    longest = int(np.argmax(covered))
    first, last = np.searchsorted(run, longest), np.searchsorted(run, longest, side="right") - 1
    return SeriesRuns(
        series=series,
        rows=len(moments),
        covered_hours=float(gaps.sum()),
        longest=Run(
            series=series,
            start=pd.Timestamp(moments[first]).to_pydatetime(),
            end=pd.Timestamp(moments[last]).to_pydatetime(),
            rows=int(last - first + 1),
            covered_hours=float(covered[longest]),
            is_null=bool((values[:, first] == -1).all()),
        ),
    )


def _changes(values: Codes) -> Codes:
    """1 where a row's values differ from the row before, 0 where they repeat (and in row 0)."""
    changed = np.zeros(values.shape[1], dtype=np.int64)
    changed[1:] = (values[:, 1:] != values[:, :-1]).any(axis=0)
    return changed
