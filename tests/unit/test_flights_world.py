"""The replayed world: a seeded sample, faults that touch only their span, labels in time."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.flights.data import FEATURES, WEATHER
from examples.flights.world import (
    LabelFeed,
    Span,
    celsius_temperature,
    frozen_weather,
    request_bodies,
    sample_flights,
    through,
)
from tools.errors import Invalid

SPAN = Span(pd.Timestamp("2013-06-02"), pd.Timestamp("2013-06-03"))


def flights(hours: int = 72) -> pd.DataFrame:
    """One flight an hour from each of two airports, weather that changes each hour."""
    times = pd.date_range("2013-06-01", periods=hours, freq="h").repeat(2)
    rows = pd.DataFrame({"scheduled_departure": times})
    rows["flight_id"] = [f"flight-{n}" for n in range(len(rows))]
    rows["carrier"], rows["dest"] = "AA", "BOS"
    rows["origin"] = ["EWR", "JFK"] * hours
    for place, name in enumerate(("distance", "arr_minute", *WEATHER)):
        rows[name] = np.arange(len(rows), dtype=float) + place
    rows["late"] = [0.0, 1.0] * hours
    rows["known_at"] = rows["scheduled_departure"] + pd.Timedelta(hours=3)
    return rows


def test_frozen_stations_repeat_their_own_last_readings() -> None:
    """Each station its own, and only within the span."""
    rows = flights()

    arriving = frozen_weather(SPAN)(rows)

    inside = SPAN.covers(rows["scheduled_departure"])
    for origin in ("EWR", "JFK"):
        here = rows["origin"] == origin
        last = rows[here & (rows["scheduled_departure"] < SPAN.start)].iloc[-1]
        frozen = arriving[here & inside]
        assert (frozen[list(WEATHER)] == last[list(WEATHER)].to_numpy()).all(axis=None)
    pd.testing.assert_frame_equal(arriving[~inside], rows[~inside])


def test_celsius_is_what_fahrenheit_was() -> None:
    """Water freezes at 0 and boils at 100, within the span only."""
    rows = flights()
    inside = SPAN.covers(rows["scheduled_departure"])
    rows.loc[inside, "temp"] = np.resize([32.0, 212.0], inside.sum())

    arriving = celsius_temperature(SPAN)(rows)

    assert arriving.loc[inside, "temp"].unique().tolist() == [0.0, 100.0]
    assert (arriving.loc[~inside, "temp"] == rows.loc[~inside, "temp"]).all()


def test_faults_follow_each_other() -> None:
    """A frozen Fahrenheit reading arrives as a frozen Celsius reading."""
    rows = flights()

    arriving = through(rows, [frozen_weather(SPAN), celsius_temperature(SPAN)])

    inside = SPAN.covers(rows["scheduled_departure"]) & (rows["origin"] == "EWR")
    before = rows[(rows["scheduled_departure"] < SPAN.start) & (rows["origin"] == "EWR")]
    expected = round((before["temp"].iloc[-1] - 32) / 1.8, 1)
    assert arriving.loc[inside, "temp"].unique().tolist() == [expected]


def test_body_holds_every_feature_and_null_for_a_missing_one() -> None:
    """What the server's typed request expects."""
    rows = flights(1)
    rows.loc[0, "pressure"] = np.nan

    body = json.loads(request_bodies(rows)[0])

    assert set(body) == {"scheduled_departure", *FEATURES}
    assert body["pressure"] is None
    assert body["scheduled_departure"] == "2013-06-01T00:00:00"


@given(st.lists(st.integers(min_value=0, max_value=80), max_size=12))
def test_every_label_is_handed_out_once_and_never_early(hours: list[int]) -> None:
    """However the clock moves, even backwards."""
    rows = flights()
    feed = LabelFeed(rows)
    seen: list[str] = []

    for hour in [*hours, 80]:
        now = pd.Timestamp("2013-06-01") + pd.Timedelta(hours=hour)
        due = feed.due(now)
        assert (due["known_at"] <= now).all()
        seen += due["request_id"].tolist()

    assert sorted(seen) == sorted(rows["flight_id"])


def test_flights_without_a_label_are_never_handed_out() -> None:
    """A cancelled flight stays unknown for good."""
    rows = flights(2)
    rows.loc[0, ["late", "known_at"]] = [np.nan, pd.NaT]

    due = LabelFeed(rows).due(pd.Timestamp("2014-01-01"))

    assert rows["flight_id"][0] not in set(due["request_id"])


def test_same_seed_same_sample() -> None:
    """Another seed, another sample; the order stays."""
    rows = flights()

    first, again = (sample_flights(rows, share=0.5, seed=3) for _ in range(2))
    other = sample_flights(rows, share=0.5, seed=4)

    pd.testing.assert_frame_equal(first, again)
    assert first["flight_id"].tolist() != other["flight_id"].tolist()
    assert first["scheduled_departure"].is_monotonic_increasing


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5])
def test_impossible_share_is_refused(share: float) -> None:
    """With the range that was expected."""
    with pytest.raises(Invalid, match="sample"):
        sample_flights(flights(1), share=share, seed=0)
