"""The real weather of 2013: nature raises no alarm, injected faults are found within a day.

Every eighth day here; `benchmarks/feeds.py` does the whole year.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tools.documents import load_document
from tools.managed_model import ManagedModel
from tools.validation import FaultKind, FeedState, validate_window

flights = pytest.importorskip("examples.flights.data")
MODEL = Path(flights.__file__).with_name("model.yaml")
LAST_REPORT = "2013-12-30 18:00"
"""The source's weather ends here; flights go on."""


@cache
def _days(share: float) -> tuple[pd.DataFrame, ...]:
    rows = flights.prepare(flights.source_folder()).sample(frac=share, random_state=7)
    rows = rows.rename(columns={"scheduled_departure": "event_time"})
    rows = rows.drop(columns=["flight_id", "late", "known_at"]).sort_values("event_time")
    return tuple(day for _, day in rows.groupby(rows["event_time"].dt.date))


def _schema() -> object:
    return load_document(MODEL, ManagedModel).spec.schema_


@pytest.mark.parametrize("share", [1.0, 1 / 3])
def test_untouched_days_are_trusted(share: float) -> None:
    """Fronts, calm days and missing pressure included."""
    days = _days(share)
    for i in range(8, 360, 8):
        report = validate_window(days[i], _schema(), previous=days[i - 1])

        assert report.feed("weather").state is FeedState.TRUSTED, report.reasons


def test_the_sources_own_outage_is_found() -> None:
    """The published weather really ends a day early."""
    report = validate_window(_days(1.0)[-1], _schema(), previous=_days(1.0)[-2])

    assert {fault.kind for fault in report.feed("weather").faults} == {FaultKind.SILENT}


@pytest.mark.parametrize("day", [5, 40, 100, 200, 290])
@pytest.mark.parametrize("has_unit_change", [False, True])
def test_a_freeze_is_found_on_the_day(day: int, has_unit_change: bool) -> None:
    """From 10 o'clock all stations repeat; with the change of unit, temp then comes in Celsius."""
    days = _days(1 / 3)
    frame = days[day].copy()
    start = pd.Timestamp(frame["event_time"].iloc[0].date()) + timedelta(hours=10)
    late = frame["event_time"] >= start
    weather = [c.name for c in _schema().columns if c.feed == "weather"]
    before = frame[~late].groupby("origin")[weather].last()
    for origin in before.index:
        here = late & (frame["origin"] == origin)
        frame.loc[here, weather] = before.loc[origin, weather].to_numpy(dtype=float)
    if has_unit_change:
        frame.loc[late, "temp"] = (frame.loc[late, "temp"] - 32) * 5 / 9
    feed = validate_window(frame, _schema(), previous=days[day - 1]).feed("weather")
    kinds = {fault.kind for fault in feed.faults}

    assert kinds == {FaultKind.STALE} | ({FaultKind.UNIT_CHANGE} if has_unit_change else set())
    assert abs(feed.since - start) < timedelta(hours=2)
    if has_unit_change:
        assert any("temp changed its unit (degF -> degC)" in reason for reason in feed.reasons)


@pytest.mark.parametrize("rounding", [None, 1])
def test_a_changed_unit_alone_is_found_by_the_next_day(rounding: int | None) -> None:
    """temp in Celsius from noon on, exact or to one decimal, on ten days of the year."""
    days, missed = _days(1 / 3), []
    for day in range(20, 350, 36):
        found = False
        for frame in (days[day].copy(), days[day + 1].copy()):
            late = frame["event_time"] >= pd.Timestamp(days[day]["event_time"].iloc[0].date()) + (
                timedelta(hours=12)
            )
            celsius = (frame["temp"] - 32) * 5 / 9
            celsius = celsius if rounding is None else np.round(celsius, rounding)
            frame["temp"] = frame["temp"].where(~late, celsius)
            feed = validate_window(frame, _schema(), previous=days[day - 1]).feed("weather")
            found |= any("temp changed its unit (degF -> degC)" in r for r in feed.reasons)
        if not found:
            missed.append(day)

    assert missed == []
