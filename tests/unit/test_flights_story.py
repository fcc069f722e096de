"""What the demo reads from the journal: the split, and what mendloop is busy with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from agents.catalog import all_tools
from examples.flights import story as story_module
from examples.flights.director import RELEASE_DAYS, Director
from examples.flights.story import JournalFollower, Mode, Story
from examples.flights.year import DAYS_PER_S, _days_per_s
from orchestrator.journal import kinds
from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OPENED = {"goal": "g", "concern": "model", "trigger": "performance", "summary": "worse"}


def write(journal: SqliteJournal, kind: str, incident: str = "inc-1", **payload: Any) -> None:
    """One event."""
    journal.append(
        kind, at=NOW, actor="a", payload=payload, target="default/flights", incident=incident
    )


def intend(journal: SqliteJournal, tool: str) -> None:
    """A step in hand."""
    write(journal, kinds.STEP_INTENDED, key=tool, step=1, tool=tool, agent="a")


def told(journal: SqliteJournal) -> Story:
    """The story so far."""
    story = Story()
    story.take(journal.events())
    return story


@pytest.fixture
def journal() -> SqliteJournal:
    """An empty journal in memory."""
    return SqliteJournal(":memory:")


def test_nothing_in_hand_leaves_time_free(journal: SqliteJournal) -> None:
    """An empty journal, and one whose incidents are closed."""
    assert told(journal).mode is Mode.FREE

    write(journal, kinds.INCIDENT_OPENED, **OPENED)
    assert told(journal).mode is Mode.WORKING
    assert told(journal).has_model_incident

    write(journal, kinds.INCIDENT_RESOLVED, outcome="promoted")
    assert told(journal).mode is Mode.FREE
    assert not told(journal).has_model_incident


@pytest.mark.parametrize(
    ("tool", "mode"),
    [
        ("retrain_full", Mode.WORKING),
        ("deploy_challenger", Mode.WORKING),
        ("judge_canary", Mode.WATCHING),
        ("watch_probation", Mode.FREE),
        ("await_trusted_data", Mode.FREE),
    ],
)
def test_step_in_hand_sets_the_pace(journal: SqliteJournal, tool: str, mode: Mode) -> None:
    """While it waits too; a run needs the wall clock, a canary requests, probation event time."""
    write(journal, kinds.INCIDENT_OPENED, **OPENED)
    intend(journal, tool)
    write(journal, kinds.INCIDENT_WAITING, reason="not done")

    assert told(journal).mode is mode


def test_incident_that_waits_without_a_step_leaves_time_free(journal: SqliteJournal) -> None:
    """A cool-down passes in event time."""
    write(journal, kinds.INCIDENT_OPENED, **OPENED)
    write(journal, kinds.INCIDENT_WAITING, reason="cool-down")

    assert told(journal).mode is Mode.FREE


def test_tools_that_set_the_pace_exist() -> None:
    """A renamed tool must not silently speed the demo up."""
    named = story_module._WALL_CLOCK_TOOLS | story_module._CANARY_TOOLS

    assert named <= set(all_tools())


def test_canary_in_judgement_is_known_by_its_share(journal: SqliteJournal) -> None:
    """Between nothing and everything, and at least the share asked for."""
    write(journal, kinds.INCIDENT_OPENED, **OPENED)
    for before, after in (
        ({"1": 100}, {"1": 95, "2": 5}),
        ({"1": 95, "2": 5}, {"1": 75, "2": 25}),
    ):
        write(journal, kinds.TRAFFIC_SHIFTED, route="flights", before=before, after=after)
        intend(journal, "judge_canary")
    assert told(journal).split == {"1": 75, "2": 25}
    assert told(journal).is_judging_at_least(25)
    assert not told(journal).is_judging_at_least(26)

    write(
        journal, kinds.TRAFFIC_SHIFTED, route="flights", before={"1": 75, "2": 25}, after={"2": 100}
    )

    assert not told(journal).is_judging_at_least(25)


def test_new_controller_attends_once_it_has_looked(journal: SqliteJournal) -> None:
    """A start and a lease are not a look."""
    journal.append(kinds.CONTROLLER_STARTED, at=NOW, actor="c", payload={"holder": "c"})
    write(journal, kinds.LEASE_ACQUIRED, incident="", holder="c", token=1)
    assert not told(journal).is_attended

    write(journal, kinds.WINDOW_OBSERVED, incident="", start="a", end="b", rows=1)

    assert told(journal).is_attended


def test_follower_reads_each_event_once(tmp_path: Path) -> None:
    """While another process writes."""
    follower = JournalFollower(tmp_path / "mendloop.db")
    assert follower.new_events() == []

    journal = SqliteJournal(tmp_path / "mendloop.db")
    write(journal, kinds.INCIDENT_OPENED, **OPENED)
    assert [event.kind for event in follower.new_events()] == [kinds.INCIDENT_OPENED]
    assert follower.new_events() == []
    write(journal, kinds.INCIDENT_RESOLVED, outcome="promoted")

    assert [event.kind for event in follower.new_events()] == [kinds.INCIDENT_RESOLVED]
    follower.close()
    journal.close()


def test_follower_is_not_patient_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that never becomes a journal is an error after a while."""
    monkeypatch.setattr(story_module, "_CONTROLLER_START_S", -1.0)
    (tmp_path / "mendloop.db").write_text("not a journal", encoding="utf-8")

    with pytest.raises(Invalid, match=r"mendloop\.db"):
        JournalFollower(tmp_path / "mendloop.db").new_events()


def test_the_first_release_is_not_missed_while_nobody_is_in_charge_yet() -> None:
    """A busy machine takes a minute to start a controller: event time waits at the day on which the
    team releases, or the release would come after the freeze that it is to meet."""
    story, replay = Story(), SimpleNamespace(position=RELEASE_DAYS[0])
    director = Director(cast(Any, None), story, cast(Any, replay), pd.DataFrame(), print)

    assert _days_per_s(cast(Any, replay), story, director) == DAYS_PER_S[Mode.WORKING]
    replay.position -= pd.Timedelta(days=1)
    assert _days_per_s(cast(Any, replay), story, director) == DAYS_PER_S[Mode.WATCHING]
