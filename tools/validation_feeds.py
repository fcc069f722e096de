"""Checks the upstream feeds of a window: do values still move, arrive, and keep their units?"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tools.schema import Column, ColumnType, FeatureSchema, Feed
from tools.statistics.freshness import SeriesRuns, feed_runs
from tools.statistics.units import UnitChange, find_unit_change
from tools.validation_rules import FaultKind, ValidationRules, WindowFault
from tools.values import Value


class FeedState(StrEnum):
    """UNKNOWN: too few rows to tell; neither trusted nor at fault."""

    TRUSTED = "trusted"
    FAULTY = "faulty"
    UNKNOWN = "unknown"


class FeedFault(Value):
    """One thing wrong with a feed."""

    kind: FaultKind
    columns: tuple[str, ...]
    since: datetime
    """Event time at which the fault began, as far as the rows show."""
    until: datetime
    """Event time of the last row that shows it."""
    reason: str


class FeedReport(Value):
    """What a feed was found to be in the window."""

    feed: str
    state: FeedState
    faults: tuple[FeedFault, ...] = ()
    note: str = ""
    """Why it is unknown, or what could not be checked."""

    @property
    def since(self) -> datetime | None:
        """Event time of the earliest fault; None while the feed is not faulty."""
        return min((fault.since for fault in self.faults), default=None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The faults as sentences."""
        return tuple(f"feed {self.feed}: {fault.reason}" for fault in self.faults)


def check_feeds(
    frame: pd.DataFrame,
    previous: pd.DataFrame | None,
    schema: FeatureSchema,
    rules: ValidationRules,
    time: str,
) -> tuple[FeedReport, ...]:
    """One report per feed of the schema, in its order."""
    return tuple(_check(frame, previous, schema, feed, rules, time) for feed in schema.feeds)


def _check(
    frame: pd.DataFrame,
    previous: pd.DataFrame | None,
    schema: FeatureSchema,
    feed: Feed,
    rules: ValidationRules,
    time: str,
) -> FeedReport:
    columns = [c for c in schema.feed_columns(feed.name) if c in frame.columns]
    if feed.key not in frame.columns or not columns or not len(frame):
        note = "no rows" if not len(frame) else "its key or all of its columns are missing"
        return FeedReport(feed=feed.name, state=FeedState.UNKNOWN, note=note)
    runs = _runs(frame, previous, feed, columns, time)
    rows = frame[feed.key].astype(str).value_counts()
    judged = [r for r in runs if rows.get(r.series, 0) >= rules.min_feed_rows]
    faults = _repeat_faults(judged, feed, columns)
    faults += _dead_column_faults(frame, columns, faults, rules, time)
    faults += _unit_faults(frame, previous, schema, feed, time)
    if faults:
        return FeedReport(feed=feed.name, state=FeedState.FAULTY, faults=tuple(faults))
    if not any(r.covered_hours > feed.max_repeat_hours for r in judged):
        note = "too few rows: no series was observed for longer than "
        note += f"{feed.max_repeat_hours:g} h, so a freeze could not be seen"
        return FeedReport(feed=feed.name, state=FeedState.UNKNOWN, note=note)
    note = "" if previous is not None else "units not compared: no trusted window before"
    return FeedReport(feed=feed.name, state=FeedState.TRUSTED, note=note)


def _runs(
    frame: pd.DataFrame, previous: pd.DataFrame | None, feed: Feed, columns: list[str], time: str
) -> list[SeriesRuns]:
    """Runs of the window; a freeze that began shortly before it counts from its beginning."""
    rows = frame
    limit = timedelta(hours=feed.max_repeat_hours)
    start = frame[time].min()
    if previous is not None and {feed.key, *columns} <= set(previous.columns):
        tail = previous[(previous[time] >= start - limit) & (previous[time] < start)]
        rows = _stack(tail, frame, (time, feed.key, *columns))
    return list(
        feed_runs(
            rows.assign(**{feed.key: rows[feed.key].astype(str)}),
            time=time,
            key=feed.key,
            columns=columns,
            max_gap_hours=feed.max_repeat_hours / 2,
        )
    )


def _stack(first: pd.DataFrame, second: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Rows of both; as objects where their types differ, so that a column which is all missing in
    one keeps its values."""
    both = {name: _joined(first[name], second[name]) for name in columns[1:]}
    times = np.concatenate(
        [frame[columns[0]].to_numpy("datetime64[us]") for frame in (first, second)]
    )
    return pd.DataFrame({columns[0]: times, **both})


def _joined(first: pd.Series[Any], second: pd.Series[Any]) -> NDArray[Any]:
    kind = None if first.dtype == second.dtype else object
    return np.concatenate([first.to_numpy(kind), second.to_numpy(kind)])


def _repeat_faults(runs: list[SeriesRuns], feed: Feed, columns: list[str]) -> list[FeedFault]:
    faults = []
    for silent in (True, False):
        stuck = [
            r.longest
            for r in runs
            if r.longest.covered_hours > feed.max_repeat_hours and r.longest.is_null is silent
        ]
        if not stuck:
            continue
        longest = max(stuck, key=lambda run: run.covered_hours)
        names = ", ".join(run.series for run in stuck)
        says = "delivers nothing" if silent else "repeats its values unchanged"
        reason = (
            f"{says} for {longest.covered_hours:.1f} h in {feed.key} {names} since "
            f"{longest.start:%Y-%m-%d %H:%M}, at most {feed.max_repeat_hours:g} h are natural"
        )
        faults.append(
            FeedFault(
                kind=FaultKind.SILENT if silent else FaultKind.STALE,
                columns=tuple(columns),
                since=min(run.start for run in stuck),
                until=max(run.end for run in stuck),
                reason=reason,
            )
        )
    return faults


def _dead_column_faults(
    frame: pd.DataFrame,
    columns: list[str],
    faults: list[FeedFault],
    rules: ValidationRules,
    time: str,
) -> list[FeedFault]:
    """Columns that the feed stopped delivering while others go on."""
    if len(frame) < rules.min_feed_rows or any(f.kind is FaultKind.SILENT for f in faults):
        return []
    dead = tuple(c for c in columns if frame[c].isna().all())
    if not dead:
        return []
    reason = f"all {len(frame)} values of {', '.join(dead)} are missing"
    start, end = frame[time].min().to_pydatetime(), frame[time].max().to_pydatetime()
    return [FeedFault(kind=FaultKind.ALL_NULL, columns=dead, since=start, until=end, reason=reason)]


def check_units(
    frame: pd.DataFrame, previous: pd.DataFrame | None, schema: FeatureSchema, time: str
) -> tuple[WindowFault, ...]:
    """Changed units of the columns that come from the caller's own records."""
    own = [c for c in schema.columns if c.feed is None and _is_checkable(c, frame)]
    found = [
        find_unit_change(c.name, c.unit, trusted=previous, current=frame, time=time) for c in own
    ]
    return tuple(
        WindowFault(kind=FaultKind.UNIT_CHANGE, columns=(change.column,), reason=_says_unit(change))
        for change in found
        if change is not None
    )


def _unit_faults(
    frame: pd.DataFrame,
    previous: pd.DataFrame | None,
    schema: FeatureSchema,
    feed: Feed,
    time: str,
) -> list[FeedFault]:
    columns = [c for c in schema.columns if c.feed == feed.name and _is_checkable(c, frame)]
    found = [
        find_unit_change(c.name, c.unit, trusted=previous, current=frame, time=time, key=feed.key)
        for c in columns
    ]
    until = frame[time].max().to_pydatetime()
    return [
        FeedFault(
            kind=FaultKind.UNIT_CHANGE,
            columns=(change.column,),
            since=change.since,
            until=until,
            reason=_says_unit(change),
        )
        for change in found
        if change is not None
    ]


def _is_checkable(column: Column, frame: pd.DataFrame) -> bool:
    """Numbers only: a wrong type has its own fault."""
    return (
        column.type is ColumnType.NUMBER
        and column.name in frame.columns
        and pd.api.types.is_numeric_dtype(frame[column.name])
    )


def _says_unit(change: UnitChange) -> str:
    how = f"{change.matched} of {change.distinct} new values hit trusted values when it is undone"
    if change.test == "level":
        how = "undoing it takes the jump of all quantiles away"
    if change.test == "shape":
        how = "undoing it gives the very distribution from before"
    return (
        f"{change.column} changed its unit ({change.conversion.name}) at "
        f"{change.since:%Y-%m-%d %H:%M}: {how}"
    )
