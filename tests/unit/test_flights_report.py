"""The demo's figures: same rows for all, failures told apart, one page that needs no other file."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from examples.flights.director import WEATHER_FAULT, Kill
from examples.flights.measure import tell_crash, tell_requests, tell_traffic, tell_versions
from examples.flights.outcome import (
    ActionTaken,
    Crash,
    IncidentTold,
    JournalState,
    Outcome,
)
from examples.flights.quality import figures, measure_quality
from examples.flights.report import render_report
from examples.flights.summary import summary_table
from orchestrator.journal import kinds
from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Invalid
from tools.registry import GateResult, ModelVersion

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ISSUE_KEYS = {
    "incidents",
    "versions",
    "traffic",
    "requests",
    "crash",
    "quality",
    "journal",
    "approvals",
    "denials",
    "wall_s",
}


class SameForAll:
    """A predictor that always answers the same."""

    def __init__(self, probability: float) -> None:
        self._probability = probability

    def predict_frame(self, frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
        """One probability per row."""
        return np.full(len(frame), self._probability)


def replayed(count: int = 3000) -> pd.DataFrame:
    """March to December, evenly; half of the labels are 1, the answers know which."""
    times = pd.date_range("2013-03-01", "2013-12-30", periods=count).floor("s")
    rows = pd.DataFrame({"scheduled_departure": times, "origin": "JFK", "carrier": "AA"})
    for name in ("dest", "distance", "arr_minute", "temp", "dewp", "humid", "wind_dir"):
        rows[name] = 1.0
    for name in ("wind_speed", "precip", "pressure", "visib"):
        rows[name] = 1.0
    rows["late"] = np.arange(count) % 2.0
    rows["status"] = 200
    rows["version"] = "1"
    rows["probability"] = np.where(rows["late"] == 1, 0.8, 0.2)
    rows["latency_s"] = 0.01
    rows["answered_at_s"] = 100.0 + np.arange(count) / 10
    return rows


def year(rows: pd.DataFrame, journal: SqliteJournal | None = None, **director: Any) -> Any:
    """What is left of a replay."""
    start = pd.Timestamp(BEGAN).tz_localize(None)
    happened = {"bad_version": "", "kill": None} | director
    return SimpleNamespace(
        rows=rows,
        story=SimpleNamespace(events=journal.events() if journal else []),
        director=SimpleNamespace(**happened),
        sent_at=lambda: start + pd.to_timedelta(rows["answered_at_s"] - 100.0, unit="s"),
    )


def version(name: str) -> ModelVersion:
    """A registered version."""
    return ModelVersion(
        model="flights",
        version=name,
        artifact_digest="a" * 64,
        data_digest="d" * 64,
        run_key=f"run-{name}",
        gates=(GateResult(name="roc_auc minimum", value=0.7, limit=0.6, passed=True),),
        metrics={},
        reference={},
        aliases=(),
        created_at="2026-01-01T00:00:00+00:00",
    )


def shifted(journal: SqliteJournal, second: float, before: Any, after: Any) -> None:
    """A change of the split, so many seconds after the beginning."""
    journal.append(
        kinds.TRAFFIC_SHIFTED,
        at=datetime.fromtimestamp(BEGAN.timestamp() + second, UTC),
        actor="deployer",
        target="default/flights",
        payload={
            "route": "flights",
            "before": before,
            "after": after,
        },
    )


@pytest.fixture
def outcome() -> Outcome:
    """A year with a canary, a bad release, an incident and a crash."""
    rows = replayed()
    rows.loc[1000:1999:4, "version"] = "2"
    rows.loc[2000:, "version"] = "2"
    rows.loc[2500, ["status", "version"]] = [500, "3"]
    journal = SqliteJournal(":memory:")
    shifted(journal, 100.0, {"1": 100}, {"1": 75, "2": 25})
    shifted(journal, 200.0, {"1": 75, "2": 25}, {"2": 100})
    incident = IncidentTold(
        id="inc-1",
        trigger="performance",
        diagnosis="concept_drift",
        actions=(
            ActionTaken(
                tool="retrain_full",
                outcome="applied, holds",
                started="2026-01-01T00:00:00+00:00",
                finished="2026-01-01T00:00:09+00:00",
                detail="<script>alert(1)</script>",
            ),
        ),
        outcome="promoted",
        detected_at="2026-01-01T00:00:00+00:00",
        resolved_at="2026-01-01T00:01:00+00:00",
        event_time="2013-06-08T00:00:00",
        resolved_event_time="2013-09-20T00:00:00",
    )
    told = year(rows, journal, bad_version="3")
    return Outcome(
        incidents=(incident,),
        versions=tell_versions(told, [version("1"), version("2"), version("3")]),
        traffic=tell_traffic(told, "1"),
        requests=tell_requests(told),
        crash=Crash(
            killed_at="2026-01-01T00:00:30+00:00",
            resumed_at="2026-01-01T00:00:33+00:00",
            unwatched_s=3.0,
            split_when_killed={"1": 75, "2": 25},
            event_time="2013-07-01T00:00:00",
        ),
        quality=measure_quality(rows, rows, SameForAll(0.5), 0.4, WEATHER_FAULT),
        journal=JournalState(events=120, verified=True),
        wall_s=200.0,
    )


def test_outcome_has_the_promised_keys(outcome: Outcome) -> None:
    """The document behind --report."""
    assert set(outcome.model_dump()) == ISSUE_KEYS
    assert Outcome.model_validate_json(outcome.model_dump_json()) == outcome


def test_three_ways_are_judged_on_the_same_rows() -> None:
    """Unlabelled and failed requests count for none of them."""
    rows = replayed()
    rows.loc[0:99, "late"] = np.nan
    rows.loc[100:199, "status"] = 500

    quality = measure_quality(rows, rows, SameForAll(0.5), 0.4, WEATHER_FAULT)

    assert quality.total.rows == len(rows) - 200
    assert quality.total.served.log_loss == pytest.approx(-np.log(0.8))
    assert quality.total.never_retrained.log_loss == pytest.approx(-np.log(0.5))
    assert quality.total.majority.accuracy == pytest.approx(0.5)
    assert sum(month.rows for month in quality.months) == quality.total.rows
    assert [month.month for month in quality.months] == [f"2013-{m:02d}" for m in range(3, 13)]
    faulty = WEATHER_FAULT.covers(rows["scheduled_departure"]).sum()
    assert quality.without_fault.rows == quality.total.rows - faulty


def test_constant_answer_has_no_roc_auc() -> None:
    """Undefined is said, not 0.5."""
    label = np.array([0.0, 1.0])

    assert figures(np.array([0.3, 0.3]), label).roc_auc is None
    assert figures(np.array([0.1, 0.9]), label).roc_auc == 1.0


def test_no_labelled_answer_is_an_error() -> None:
    """There is nothing to report then."""
    rows = replayed(10).assign(late=np.nan)

    with pytest.raises(Invalid, match="label"):
        measure_quality(rows, rows, SameForAll(0.5), 0.4, WEATHER_FAULT)


def test_failures_of_the_bad_release_are_told_apart() -> None:
    """Everything else that failed is somebody else's fault."""
    rows = replayed(100)
    rows.loc[0:9, "version"] = "3"
    rows.loc[0:3, "status"] = 500
    rows.loc[50, ["status", "version"]] = [0, ""]
    rows.loc[99, "status"] = -1

    requests = tell_requests(year(rows, bad_version="3"))

    assert (requests.total, requests.answered) == (99, 94)
    assert (requests.failed_by_bad_release, requests.met_bad_release) == (4, 10)
    assert requests.failed_otherwise == 1
    assert requests.failures == {"500 v3": 4, "0 v": 1}


def test_without_a_bad_release_every_failure_is_ours() -> None:
    """An empty name never matches."""
    rows = replayed(10)
    rows.loc[0, ["status", "version"]] = [0, ""]

    assert tell_requests(year(rows)).failed_otherwise == 1


def test_traffic_tells_weight_and_observation_by_the_shift_in_force(outcome: Outcome) -> None:
    """Every request is in one stretch, and no stretch spans a shift."""
    assert sum(point.requests for point in outcome.traffic) == 3000
    canary = [point for point in outcome.traffic if point.weights == {"1": 75.0, "2": 25.0}]
    assert sum(point.requests for point in canary) == 1000
    assert all(point.observed["2"] == pytest.approx(25.0, abs=1.0) for point in canary)
    assert outcome.traffic[-1].weights == {"2": 100.0}


def test_crash_ends_with_the_successors_first_look() -> None:
    """A lease is not yet a look; what was written before the kill does not count."""
    journal = SqliteJournal(":memory:")
    opened = {"goal": "g", "concern": "model", "trigger": "t", "summary": "s"}
    for second, kind, payload in (
        (0, kinds.INCIDENT_OPENED, opened),
        (8, kinds.LEASE_ACQUIRED, {"holder": "second", "token": 2}),
        (10, kinds.INCIDENT_RESUMED, {"reason": "taken over"}),
    ):
        at = datetime.fromtimestamp(BEGAN.timestamp() + second, UTC)
        journal.append(
            kind, at=at, actor="a", target="default/flights", incident="inc-1", payload=payload
        )
    killed = datetime.fromtimestamp(BEGAN.timestamp() + 6, UTC)
    kill = Kill(at=killed, event_time=pd.Timestamp("2013-07-01"), split={"1": 75, "2": 25})

    crash = tell_crash(year(replayed(10), kill=kill), journal.events())

    assert crash.unwatched_s == pytest.approx(4.0)
    assert crash.duplicated_effects == 0


def test_page_needs_nothing_but_itself(outcome: Outcome) -> None:
    """No script, no address to fetch from, foreign text escaped, ink that follows the page."""
    page = render_report(outcome)

    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=\"(?!#)", page)
    assert page.count("<svg") == 3
    assert "currentColor" in page
    assert "concept_drift" in page


def test_page_and_summary_stand_an_eventless_year(outcome: Outcome) -> None:
    """Nothing found, nobody killed."""
    quiet = outcome.model_copy(update={"incidents": (), "crash": Crash(), "traffic": ()})

    assert "No canary came to the point" in render_report(quiet)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(summary_table(quiet))


def test_summary_shows_what_matters(outcome: Outcome) -> None:
    """Losses, failures, the journal."""
    console = Console(width=120, record=True, file=io.StringIO())

    console.print(summary_table(outcome))

    text = console.export_text()
    for expected in ("concept_drift: promoted", "0.22", "0.69", "1 of 1", "verified"):
        assert expected in text
