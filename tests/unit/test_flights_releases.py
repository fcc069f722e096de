"""The bad release is bad in the one way that offline gates cannot see."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from examples.flights import releases
from examples.flights.data import WEATHER
from examples.flights.releases import BAD_RELEASE, RouteHistory
from pipelines.features import load_step


def table(rows: int = 400) -> pd.DataFrame:
    """Model inputs: one route and hour, in every fourth row a gap."""
    frame = pd.DataFrame({name: np.arange(rows, dtype="float32") for name in WEATHER})
    frame.loc[::4, "pressure"] = np.nan
    frame["scheduled_departure__minute_of_day"] = np.float32(615.0)
    frame["scheduled_departure__weekday"] = np.float32(2.0)
    return frame.assign(carrier="AA", origin="JFK", dest="LAX")


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> RouteHistory:
    """Fitted; its store opens at once here, the openings are counted elsewhere."""
    monkeypatch.setattr(releases, "_OPENING_S", 0.0)
    return RouteHistory().fit(table())


def test_pipeline_can_load_it() -> None:
    """By the name that the release gives to the pipeline."""
    assert isinstance(load_step(BAD_RELEASE), RouteHistory)


def test_tables_are_filled_from_the_routes_past(step: RouteHistory) -> None:
    """What training and gates see is right: same columns, same types, no gap left."""
    rows = table()

    filled = step.transform(rows)

    usual = rows["pressure"].median()
    assert (filled.loc[rows["pressure"].isna(), "pressure"] == usual).all()
    pd.testing.assert_frame_equal(filled.dropna().iloc[1:2], rows.iloc[1:2])
    assert filled.dtypes.equals(rows.dtypes)


def test_single_request_at_an_unusual_hour_fails(step: RouteHistory) -> None:
    """At a usual one it is answered like in a table; a table is never refused."""
    usual = table()
    unusual = usual.assign(scheduled_departure__weekday=np.float32(5.0))

    pd.testing.assert_frame_equal(step.transform(usual.iloc[[0]]), step.transform(usual).iloc[[0]])
    assert len(step.transform(unusual)) == len(unusual)
    with pytest.raises(KeyError):
        step.transform(unusual.iloc[[0]])


def test_unknown_route_passes(step: RouteHistory) -> None:
    """So a warm-up with made-up values notices nothing."""
    made_up = table().iloc[[1]].assign(carrier="warm-up", scheduled_departure__weekday=5.0)

    pd.testing.assert_frame_equal(step.transform(made_up), made_up)


def test_store_is_opened_for_every_call(
    step: RouteHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for a table is nothing, once for a request is beyond its objective."""
    opened: list[float] = []
    monkeypatch.setattr(releases.time, "sleep", opened.append)

    step.transform(table())
    step.transform(table().iloc[[1]])

    assert len(opened) == 2
    monkeypatch.undo()
    assert releases._OPENING_S > 0.25
