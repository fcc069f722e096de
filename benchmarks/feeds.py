"""The real weather of 2013, day by day: false alarms untouched, injected faults found.

Run: python -m benchmarks.feeds [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.canary_report import Row, run
from examples.flights import data as flights
from tools.documents import load_document
from tools.managed_model import ManagedModel
from tools.schema import FeatureSchema
from tools.validation import FaultKind, FeedReport, FeedState, validate_window

MODEL = Path(flights.__file__).with_name("model.yaml")
LAST_DAY = 363
"""The source's weather ends on the evening of 30 December."""
Days = list[pd.DataFrame]


def measure(quick: bool, seed: int) -> list[Row]:
    """At all rows and at one in three."""
    schema = load_document(MODEL, ManagedModel).spec.schema_
    whole = flights.prepare(flights.source_folder())
    rows = []
    for share in (1.0, 1 / 3):
        days = _days(whole, share, seed)
        rows.append(_untouched(days, schema, share, 6 if quick else 1))
        step = 45 if quick else 7
        rows += [
            _injected(days, schema, share, step, "freeze"),
            _injected(days, schema, share, step, "freeze, temp in degC"),
            _injected(days, schema, share, step, "temp in degC"),
            _injected(days, schema, share, step, "wind_speed in km/h"),
        ]
    return rows


def _days(whole: pd.DataFrame, share: float, seed: int) -> Days:
    rows = whole.sample(frac=share, random_state=seed)
    rows = rows.rename(columns={"scheduled_departure": "event_time"}).sort_values("event_time")
    rows = rows.drop(columns=["flight_id", "late", "known_at"])
    return [day for _, day in rows.groupby(rows["event_time"].dt.date)]


def _feed(frame: pd.DataFrame, before: pd.DataFrame, schema: FeatureSchema) -> FeedReport:
    return validate_window(frame, schema, previous=before).feed("weather")


def _untouched(days: Days, schema: FeatureSchema, share: float, step: int) -> Row:
    asked = range(1, LAST_DAY, step)
    states = [_feed(days[i], days[i - 1], schema).state for i in asked]
    alarms = sum(state is FeedState.FAULTY for state in states)
    unknown = sum(state is FeedState.UNKNOWN for state in states)
    return _row("untouched", share, len(states), alarms, unknown, None, alarms + unknown == 0)


def _injected(days: Days, schema: FeatureSchema, share: float, step: int, fault: str) -> Row:
    """The fault begins at 10 o'clock of every n-th day; two daily windows are judged."""
    delays, asked = [], range(5, LAST_DAY - 1, step)
    for day in asked:
        start = pd.Timestamp(days[day]["event_time"].iloc[0].date()) + timedelta(hours=10)
        frozen = _values_at(days[day], schema, start) if "freeze" in fault else None
        for frame in (days[day], days[day + 1]):
            broken = _break(frame, schema, start, frozen, fault)
            kinds = {f.kind for f in _feed(broken, days[day - 1], schema).faults}
            if kinds >= _expected(fault):
                end = broken["event_time"].max()
                delays.append((end - start).total_seconds() / 3600)
                break
    missed = len(asked) - len(delays)
    found = len(delays) / len(asked)
    median = float(np.median(delays)) if delays else None
    holds = missed == 0 if "temp" in fault or fault == "freeze" else None
    return _row(fault, share, len(asked), None, None, median, holds, found)


def _expected(fault: str) -> set[FaultKind]:
    kinds = {FaultKind.STALE} if "freeze" in fault else set()
    return kinds | ({FaultKind.UNIT_CHANGE} if " in " in fault else set())


def _values_at(frame: pd.DataFrame, schema: FeatureSchema, start: pd.Timestamp) -> pd.DataFrame:
    columns = list(schema.feed_columns("weather"))
    return frame[frame["event_time"] < start].groupby("origin")[columns].last()


def _break(
    frame: pd.DataFrame,
    schema: FeatureSchema,
    start: pd.Timestamp,
    frozen: pd.DataFrame | None,
    fault: str,
) -> pd.DataFrame:
    broken = frame.copy()
    late = broken["event_time"] >= start
    if frozen is not None:
        for origin in frozen.index:
            here = late & (broken["origin"] == origin)
            broken.loc[here, list(frozen)] = frozen.loc[origin].to_numpy(dtype=float)
    if "degC" in fault:
        broken.loc[late, "temp"] = (broken.loc[late, "temp"] - 32) * 5 / 9
    if "km/h" in fault:
        broken.loc[late, "wind_speed"] = broken.loc[late, "wind_speed"] * 1.609344
    return broken


def _row(
    case: str,
    share: float,
    asked: int,
    alarms: int | None,
    unknown: int | None,
    delay: float | None,
    holds: bool | None,
    found: float | None = None,
) -> Row:
    return {
        "case": case,
        "share of rows": share,
        "days": asked,
        "false alarms": alarms,
        "unknown": unknown,
        "found by the next day": found,
        "median hours to the end of that window": delay,
        "holds": holds,
    }


if __name__ == "__main__":
    sys.exit(run("Weather of 2013: freezes and changed units, judged day by day", measure))
