"""A generated world's log keeps the promises of the log in memory that was told the same rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from simulations.fleet import FleetWorld
from simulations.prediction_log import InMemoryPredictionLog
from simulations.records import DAY_S, START
from simulations.scenario import Scenario
from tools.documents import parse_document
from tools.errors import Invalid
from tools.prediction_log import LogExtent

TARGET = "default/parcels"
HOURS = [(-3, 0), (0, 5), (5, 11), (11, 30), (23, 24), (40, 60)]
WRONG = {"kind": "wrong_labels", "onset": "2h", "share": 0.4, "correctedAfter": "3h"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> FleetWorld:
    """A day and a half in which labels were wrong and some were corrected."""
    body: dict[str, Any] = {
        "apiVersion": "mendloop.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {"name": "x"},
        "spec": {
            "description": "d",
            "world": {"duration": "2d", "history": "4d"},
            "faults": [WRONG],
            "truth": {"kind": "fault"},
        },
    }
    scenario = parse_document(body, Scenario, source="x")
    made = FleetWorld(scenario, tmp_path_factory.mktemp("world"), seed=5)
    for _ in range(6):
        made.advance(DAY_S / 4)
    return made


@pytest.fixture(scope="module")
def told(world: FleetWorld) -> InMemoryPredictionLog:
    """The same rows and labels, in the log that the promise suite knows."""
    log = InMemoryPredictionLog()
    rows = world.log.predictions(TARGET, start=START, end=START + timedelta(days=9))
    log.append_predictions(TARGET, rows)
    answered = world.log.targets[TARGET]
    table, chosen = answered.records.table, slice(answered.first, answered.until)
    labels = [(table.label, table.known_s), (table.corrected, table.corrected_s)]
    for values, known_s in labels:
        frame = pd.DataFrame(
            {
                "request_id": rows["request_id"],
                "label": values[chosen],
                "known_at": pd.Timestamp(START)
                + pd.to_timedelta(pd.Series(known_s[chosen]).clip(upper=1e9), unit="s"),
            }
        )
        is_told = pd.Series(known_s[chosen] < 1e9)
        frame = frame[is_told]
        log.append_labels(TARGET, frame.assign(known_at=frame["known_at"].dt.round("us")))
    return log


@pytest.mark.parametrize(("first", "last"), HOURS)
@pytest.mark.parametrize("version", [None, "1", "2"])
def test_every_window_reads_alike(
    world: FleetWorld, told: InMemoryPredictionLog, first: int, last: int, version: str | None
) -> None:
    start, end = START + timedelta(hours=first), START + timedelta(hours=last)
    columns = ["wind", "depot"]
    for as_of in (start, end, end + timedelta(hours=4), end + timedelta(days=3)):
        window: dict[str, Any] = {"start": start, "end": end, "version": version}
        ours = world.log.cohort(TARGET, **window, as_of=as_of, columns=columns)
        theirs = told.cohort(TARGET, **window, as_of=as_of, columns=columns)
        pd.testing.assert_frame_equal(_plain(ours), _plain(theirs), check_dtype=False)


def test_the_extent_is_that_of_what_was_answered(world: FleetWorld) -> None:
    extent = world.log.extent(TARGET)
    assert extent.watermark is not None
    assert START <= extent.watermark < START + timedelta(hours=36)
    assert extent.rows == len(
        world.log.predictions(TARGET, start=START, end=START + timedelta(days=9))
    )
    assert world.log.extent("default/other") == LogExtent(
        rows=0, first=None, watermark=None, labels=0
    )


def test_what_is_wrong_is_refused_and_what_is_unknown_is_empty(world: FleetWorld) -> None:
    day = {"start": START, "end": START + timedelta(days=1)}
    with pytest.raises(Invalid, match="no such column"):
        world.log.predictions(TARGET, **day, columns=["wnd"])
    with pytest.raises(Invalid):
        world.log.predictions(TARGET, start=datetime(2021, 3, 1, tzinfo=UTC), end=day["end"])
    empty = world.log.cohort("default/other", **day, as_of=day["end"], columns=["wind"])
    assert len(empty) == 0
    assert {"request_id", "wind", "label", "known_at"} <= set(empty.columns)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    masked = [tuple(value) for value in frame["masked"]]
    return frame.assign(
        masked=masked,
        event_time=frame["event_time"].astype("datetime64[us]"),
        known_at=frame["known_at"].astype("datetime64[us]"),
    )
