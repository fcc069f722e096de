"""Training that only the calendar or new data asks for: the way of any other, once per time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from stage import Play, acted, closed

from orchestrator.goals import REFRESHED
from orchestrator.journal import kinds
from simulations.population import CHANGED
from simulations.rehearsal import incidents_of
from simulations.releases import Release

HOURLY = {"cron": "0 * * * *"}
HOUR = timedelta(hours=1)


def begin(folder: Path, triggers: dict[str, Any], **spec: Any) -> Play:
    play = Play.begin(folder, triggers=triggers, **spec)
    assert play.tools() == []
    return play


def refreshed(play: Play) -> list[str]:
    """How the incidents ended that a trigger began."""
    return [i.outcome for i in incidents_of(play.world) if i.goal == REFRESHED.name]


def test_what_is_due_goes_the_way_of_every_challenger(tmp_path: Path) -> None:
    """Data pinned, trained, gated, a canary, a probation; nobody asked for a cause."""
    play = begin(tmp_path, HOURLY)
    play.world.clock.advance(HOUR)
    (incident,) = play.until_closed()

    assert incident.outcome == "promoted"
    assert incident.summary.startswith("due: schedule '0 * * * *' of 2013-01-01T01:00")
    tools = [action.tool for action in incident.actions]
    assert tools[:3] == ["pin_training_data", "retrain_full", "deploy_challenger"]
    assert tools[-2:] == ["watch_probation", "retire_version"]
    play.check()


def test_a_challenger_that_is_no_better_leaves_the_champion(tmp_path: Path) -> None:
    """The gates say no: nothing is wrong, nobody is called, and it is not tried again and again."""
    play = begin(tmp_path, HOURLY)
    play.world.foundry.coming = [Release(passes_gates=False)]
    play.world.clock.advance(HOUR)
    (incident,) = play.until_closed()
    play.tick(6)

    assert (incident.status, incident.outcome) == ("resolved", "nothing better")
    assert play.tools().count("retrain_full") == 1
    assert dict(play.world.standing().aliases) == {"champion": "1"}
    play.check()


def test_missed_times_are_made_up_for_once(tmp_path: Path) -> None:
    """The controller was away for a day of due times; the next one trains once."""
    play = begin(tmp_path, HOURLY, guardrails={"coolDown": "0s"})
    play.world.foundry.coming = [Release(passes_gates=False)]
    play.world.clock.advance(24 * HOUR)
    play.controller = play.stage.controller(play.world.fault)
    play.until_closed()
    play.tick(10)

    assert refreshed(play) == ["nothing better"]
    play.world.clock.advance(HOUR)
    play.until(lambda world: len(refreshed(play)) == 2 and bool(closed(world)))


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(days=400)])
def test_a_clock_that_jumps_trains_at_most_once_and_goes_on(
    tmp_path: Path, jump: timedelta
) -> None:
    """Set back by a year it does not wait for the year; set forward it makes up once."""
    play = begin(tmp_path, HOURLY, guardrails={"coolDown": "0s"})
    play.world.foundry.coming = [Release(passes_gates=False)]
    play.world.clock.jump(jump)
    play.tick(12)
    before = len(refreshed(play))
    assert before == (0 if jump < timedelta() else 1)
    play.world.clock.advance(HOUR)
    play.until(lambda world: len(refreshed(play)) == before + 1 and bool(closed(world)))


def test_enough_new_rows_ask_too(tmp_path: Path) -> None:
    """Labelled rows, counted from the last training on."""
    play = begin(tmp_path, {"newRows": 1500})
    play.world.foundry.coming = [Release(passes_gates=False)]
    (incident,) = play.until_closed()

    assert "new labelled rows" in incident.summary
    assert incident.outcome == "nothing better"


def test_what_is_due_waits_for_the_cool_down(tmp_path: Path) -> None:
    """Its guardrails are those of every training."""
    play = begin(tmp_path, HOURLY)
    play.world.foundry.coming = [Release(passes_gates=False)]
    play.world.clock.advance(HOUR)
    play.until_closed()
    play.world.clock.advance(HOUR)
    play.tick(8)  # two of the seven days of cool-down, in event time

    assert play.tools().count("retrain_full") == 1
    play.until(lambda world: play.tools().count("retrain_full") == 2, ticks=40)


def test_what_is_wrong_comes_before_what_is_due(tmp_path: Path) -> None:
    """A challenger of somebody's is decided first; the calendar's own turn comes afterwards."""
    play = begin(tmp_path, HOURLY, guardrails={"autonomy": "propose"})
    play.world.clock.advance(HOUR)
    play.tick(2)
    assert refreshed(play) == [""]
    play.world.submit_challenger(Release())
    play.tick(2)

    first, second = incidents_of(play.world)
    assert (first.goal, first.outcome) == (REFRESHED.name, "gave way")
    assert second.goal != REFRESHED.name


@pytest.mark.parametrize("until", ["start_canary", "promote"])
def test_what_falls_due_again_waits_until_the_release_under_way_is_decided(
    tmp_path: Path, until: str
) -> None:
    """A rollout may take longer than the period: it is looked after to its end by the incident
    that began it, and what is due since is the next one's."""
    patient = {"stepsPercent": [10, 50, 100], "stepDeadline": "3h", "probation": "2d"}
    play = begin(tmp_path, HOURLY, guardrails={"coolDown": "0s"}, rollout=patient)
    play.world.clock.advance(HOUR)
    play.until(lambda world: acted(world, until))
    play.world.clock.advance(HOUR)
    play.until(lambda world: bool(refreshed(play)[1:]))

    assert refreshed(play)[0] == "promoted"
    first = incidents_of(play.world)[0]
    assert [a.tool for a in first.actions].count("retrain_full") == 1
    play.check()


def test_a_challenger_that_had_to_be_undone_is_not_trained_anew_by_the_same_incident(
    tmp_path: Path,
) -> None:
    """Also when the next time has come meanwhile: that is another incident's."""
    play = begin(tmp_path, HOURLY, guardrails={"coolDown": "0s"})
    play.world.foundry.coming = [Release(error_rate=0.3)]
    play.world.clock.advance(HOUR)
    play.until(lambda world: acted(world, "start_canary"))
    play.world.clock.advance(HOUR)
    play.until(lambda world: bool(refreshed(play)[1:]))

    assert refreshed(play)[0] == "undone"
    play.check()


def test_a_training_for_another_reason_answers_the_calendar_as_well(tmp_path: Path) -> None:
    """The world changed and a new model was trained: what is due is counted from there."""
    play = begin(tmp_path, {"every": "12h"})
    first = dealt(play)
    play.world.become(CHANGED)
    play.until(lambda world: acted(world, "retrain_full"), ticks=80)

    assert refreshed(play) == []
    assert dealt(play) > first


def dealt(play: Play) -> str:
    """Until when due times are dealt with."""
    saved = play.world.journal.events(kinds=[kinds.MEMORY_SAVED])
    return str(saved[-1].payload["memory"]["refresh"]["at"])
