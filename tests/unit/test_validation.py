"""Windows are judged by their schema; what is wrong is named, what is scarce is unknown."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tools.errors import Invalid
from tools.schema import FeatureSchema
from tools.statistics.profile import reference_profile
from tools.validation import (
    FaultKind,
    FeedState,
    ValidationRules,
    WindowReport,
    WindowState,
    validate_window,
)

SCHEMA = FeatureSchema.model_validate(
    {
        "timeColumn": "due",
        "columns": [
            {"name": "site", "type": "category"},
            {"name": "amount", "type": "number", "minimum": 0, "maximum": 100},
            {"name": "heat", "type": "number", "unit": "degF", "nullable": True, "feed": "station"},
            {"name": "wind", "type": "number", "unit": "mph", "nullable": True, "feed": "station"},
        ],
        "feeds": [{"name": "station", "key": "site", "maxRepeatHours": 6}],
        "forbidden": ["outcome"],
    }
)


def _window(day: int = 1, per_hour: int = 4, seed: int = 0) -> pd.DataFrame:
    """One day of rows at two sites; the station's readings change by the hour."""
    rng = np.random.default_rng([seed, day])
    frames = []
    for site in ("north", "south"):
        step = f"{60 // per_hour}min"
        times = pd.date_range(f"2024-03-{day:02d}", periods=24 * per_hour, freq=step)
        heat = 50 + np.round(np.cumsum(rng.normal(0, 2, 24)))
        wind = np.round(np.abs(rng.normal(8, 4, 24)))
        frames.append(
            pd.DataFrame(
                {
                    "event_time": times,
                    "site": site,
                    "amount": rng.uniform(0, 100, len(times)),
                    "heat": np.repeat(heat, per_hour),
                    "wind": np.repeat(wind, per_hour),
                }
            )
        )
    return pd.concat(frames, ignore_index=True).sort_values("event_time", ignore_index=True)


def _check(frame: pd.DataFrame, **options: Any) -> WindowReport:
    options.setdefault("previous", _window(day=1))
    return validate_window(frame, SCHEMA, **options)


def _kinds(report: WindowReport) -> set[FaultKind]:
    return {fault.kind for fault in report.faults}


def test_a_sound_window_is_trusted() -> None:
    """With what the prediction log adds to a row."""
    frame = _window(day=2).assign(request_id="r", probability=0.5, version="1", masked=None)
    report = _check(frame)

    assert report.state is WindowState.TRUSTED
    assert report.reasons == ()
    assert report.rows == 192
    assert report.start == datetime.fromisoformat("2024-03-02")


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (lambda f: f.drop(columns="amount"), FaultKind.MISSING_COLUMN, "missing: amount"),
        (lambda f: f.assign(extra=1), FaultKind.EXTRA_COLUMN, "does not know: extra"),
        (lambda f: f.assign(outcome=1), FaultKind.FORBIDDEN_COLUMN, "leak): outcome"),
        (lambda f: f.assign(amount="12"), FaultKind.TYPE, "not a number, for example '12'"),
        (lambda f: f.assign(amount=True), FaultKind.TYPE, "not a number"),
        (lambda f: f.assign(site=3), FaultKind.TYPE, "not a category, for example 3"),
        (lambda f: f.assign(amount=np.nan), FaultKind.ALL_NULL, "all 192 values are missing"),
        (lambda f: f.assign(amount=np.inf), FaultKind.RANGE, "outside 0 to 100"),
        (lambda f: f.assign(amount=f["amount"] - 50), FaultKind.RANGE, "outside 0 to 100"),
        (
            lambda f: f.assign(amount=f["amount"].where(f.index % 5 > 0)),
            FaultKind.NULLS,
            "at most 5.0% may be",
        ),
    ],
)
def test_what_is_wrong_is_named(change: Any, kind: FaultKind, says: str) -> None:
    """One fault each, with the column and the figure."""
    report = _check(change(_window(day=2)))

    assert report.state is WindowState.FAULTY
    assert kind in _kinds(report)
    assert any(says in reason for reason in report.reasons)


def test_too_few_rows_and_labels_and_old_rows() -> None:
    """The limits that only training data, or only traffic, are held to."""
    frame = _window(day=2).assign(label=[1.0] * 60 + [np.nan] * 132)
    rules = ValidationRules(min_rows=1000, min_label_rate=0.8, max_age_hours=6)
    report = _check(frame, rules=rules, as_of=datetime.fromisoformat("2024-03-03 12:00"))

    assert _kinds(report) == {FaultKind.ROW_COUNT, FaultKind.LABEL_RATE, FaultKind.AGE}
    assert "192 rows, at least 1000" in report.reasons[0]


def test_unjoined_labels_are_a_fault_not_a_crash() -> None:
    """The message says what to do."""
    report = _check(_window(day=2), rules=ValidationRules(min_label_rate=0.8))

    assert "join the labels" in report.reasons[0]


def test_unseen_categories_are_told_with_a_reference() -> None:
    """And not judged without one."""
    reference = reference_profile(_window(), numbers=("amount",), categories=("site",))
    moved = _window(day=2).assign(site="west")

    assert FaultKind.UNSEEN_CATEGORY in _kinds(_check(moved, reference=reference))
    assert FaultKind.UNSEEN_CATEGORY not in _kinds(_check(moved))


def test_an_empty_window_is_not_trusted() -> None:
    """No rows: the count is at fault, the feed is unknown."""
    report = _check(_window().iloc[:0])

    assert report.state is WindowState.FAULTY
    assert report.feed("station").state is FeedState.UNKNOWN


def test_a_few_rows_leave_a_feed_unknown() -> None:
    """Two hours of rows cannot show a freeze of six."""
    report = _check(_window(day=2).head(16), previous=None)

    assert report.feed("station").state is FeedState.UNKNOWN
    assert report.state is WindowState.UNKNOWN
    assert "too few rows" in report.feed("station").note


def test_rows_without_event_time_are_refused() -> None:
    """Everything here is about event time."""
    with pytest.raises(Invalid, match="no column event_time"):
        _check(_window().drop(columns="event_time"))
    with pytest.raises(Invalid, match="not all values are ISO 8601"):
        _check(_window().assign(event_time="yesterday"))


def test_event_times_may_carry_a_zone() -> None:
    """They are taken to UTC."""
    frame = _window(day=2)
    report = _check(frame.assign(event_time=frame["event_time"].dt.tz_localize("Etc/GMT-2")))

    assert report.start == datetime.fromisoformat("2024-03-01 22:00")


def test_a_freeze_is_found_with_its_beginning() -> None:
    """All values repeat at one site from 9 o'clock on."""
    frame = _window(day=2)
    frozen = (frame["site"] == "north") & (frame["event_time"] >= "2024-03-02 09:00")
    frame.loc[frozen, ["heat", "wind"]] = [51.0, 7.0]
    feed = _check(frame).feed("station")

    assert feed.state is FeedState.FAULTY
    assert [fault.kind for fault in feed.faults] == [FaultKind.STALE]
    assert feed.since == datetime.fromisoformat("2024-03-02 09:00")
    assert "in site north since 2024-03-02 09:00" in feed.reasons[0]


def test_one_constant_column_is_no_freeze() -> None:
    """The rule is about all values together."""
    assert _check(_window(day=2).assign(wind=7.0), previous=None).state is WindowState.TRUSTED


def test_a_freeze_that_began_the_evening_before_counts_from_there() -> None:
    """The window before holds its first hours."""
    before, frame = _window(day=1), _window(day=2)
    last = before.groupby("site")[["heat", "wind"]].last()
    early = frame["event_time"] < "2024-03-02 04:00"
    late = before["event_time"] >= "2024-03-01 20:00"
    for site in ("north", "south"):
        frame.loc[early & (frame["site"] == site), ["heat", "wind"]] = last.loc[site].to_numpy()
        before.loc[late & (before["site"] == site), ["heat", "wind"]] = last.loc[site].to_numpy()
    feed = _check(frame, previous=before).feed("station")

    assert feed.since == datetime.fromisoformat("2024-03-01 20:00")
    assert _check(frame, previous=None).feed("station").state is FeedState.TRUSTED


def test_a_silent_feed_is_told_from_a_frozen_one() -> None:
    """Nothing arrives, while rows go on; and one dead column is named."""
    silent = _check(_window(day=2).assign(heat=np.nan, wind=np.nan)).feed("station")
    dead = _check(_window(day=2).assign(wind=np.nan)).feed("station")

    assert [fault.kind for fault in silent.faults] == [FaultKind.SILENT]
    assert [(fault.kind, fault.columns) for fault in dead.faults] == [
        (FaultKind.ALL_NULL, ("wind",))
    ]


def test_a_night_without_rows_is_no_freeze() -> None:
    """The last row of the evening and the first of the morning may agree."""
    frame = _window(day=2)
    awake = frame["event_time"].dt.hour.isin([0, 1, 22, 23])
    quiet = frame[awake].copy()
    quiet.loc[quiet["event_time"].dt.hour.isin([1, 22]), ["heat", "wind"]] = [51.0, 7.0]

    assert _check(quiet).feed("station").state is not FeedState.FAULTY


def test_a_changed_unit_is_found_and_named() -> None:
    """Fahrenheit to Celsius at noon."""
    frame = _window(day=2)
    late = frame["event_time"] >= "2024-03-02 12:00"
    frame.loc[late, "heat"] = (frame.loc[late, "heat"] - 32) * 5 / 9
    feed = _check(frame).feed("station")

    assert [fault.kind for fault in feed.faults] == [FaultKind.UNIT_CHANGE]
    assert "degF -> degC" in feed.reasons[0]
    assert (
        abs((feed.faults[0].since - datetime.fromisoformat("2024-03-02 12:00")).total_seconds())
        <= 3600
    )


def test_a_frozen_feed_that_also_changes_its_unit_shows_both() -> None:
    """It stopped at its last values and hands them on in Celsius."""
    before, frame = _window(day=1), _window(day=2)
    last = before.groupby("site")[["heat", "wind"]].last()
    for site in ("north", "south"):
        here = frame["site"] == site
        frame.loc[here, "heat"] = round((last.loc[site, "heat"] - 32) * 5 / 9, 6)
        frame.loc[here, "wind"] = last.loc[site, "wind"]
    feed = _check(frame, previous=before).feed("station")

    assert {fault.kind for fault in feed.faults} == {FaultKind.STALE, FaultKind.UNIT_CHANGE}


def test_a_feed_is_healthy_again_by_the_same_function() -> None:
    """Judged on raw values against the last trusted window, weeks before."""
    assert _check(_window(day=25)).feed("station").state is FeedState.TRUSTED


def test_changed_units_of_own_columns_are_faults_of_the_window() -> None:
    """A fraction that turns into percent, in a column without a feed."""
    schema = SCHEMA.model_copy(
        update={"columns": tuple(c.model_copy(update={"maximum": None}) for c in SCHEMA.columns)}
    )
    frame = _window(day=2)
    report = validate_window(
        frame.assign(amount=frame["amount"].round() * 100),
        schema,
        previous=_window(day=1).assign(amount=lambda f: f["amount"].round()),
    )

    assert FaultKind.UNIT_CHANGE in _kinds(report)
