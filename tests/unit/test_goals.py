"""Goals: when each counts as broken, when as reached, and the rest after one was given up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.facts import (
    CANARY,
    CHALLENGER,
    CHAMPION,
    DATA_TRUST,
    FORMER,
    INPUTS,
    PROVED,
    QUALITY,
    QUARANTINE,
    SERVICE,
    SHARE,
    UNKNOWN,
    VOCABULARY,
    Scalar,
)
from orchestrator.goals import DATA_TRUSTED, GOALS, QUALITY_MET, RELEASE_DECIDED, Goal, goal_named
from orchestrator.journal.incidents import IncidentSummary
from orchestrator.reporting import LEFT_ALONE
from orchestrator.resting import is_resting
from simulations.rehearsal import session_of
from simulations.world import World

State = dict[str, Scalar]
QUIET: State = {
    DATA_TRUST: "trusted",
    QUARANTINE: "none",
    INPUTS: "raw",
    QUALITY: "meets",
    CHALLENGER: "none",
    SHARE: 0,
    PROVED: 0,
    CANARY: "none",
    CHAMPION: "settled",
    FORMER: "none",
    SERVICE: "answers",
}


def values_of(name: str) -> list[Scalar]:
    """The values that the vocabulary's own words list, and UNKNOWN."""
    kind, words = VOCABULARY[name]
    if kind is int:
        return [0, 5, 50, 100, UNKNOWN]
    listed = words.partition(":")[0]
    return [*(word.strip() for word in listed.split("|")), UNKNOWN]


states = st.fixed_dictionaries({name: st.sampled_from(values_of(name)) for name in QUIET})


def test_a_quiet_target_breaks_no_goal_and_reaches_all() -> None:
    """Promise 10 begins here: nothing wrong, nothing to do."""
    for goal in GOALS:
        assert not goal.is_broken(QUIET)
        assert goal.unmet(QUIET) == ()


def test_a_target_that_nobody_has_looked_at_breaks_no_goal() -> None:
    """Unknown is not bad."""
    unknown: State = dict.fromkeys(VOCABULARY, UNKNOWN)

    assert not any(goal.is_broken(unknown) for goal in GOALS)
    assert not any(goal.is_broken({}) for goal in GOALS)


@given(state=states)
def test_no_goal_is_reached_and_broken_at_once(state: State) -> None:
    """Otherwise an incident would close and open again at every tick."""
    for goal in GOALS:
        assert not (goal.is_broken(state) and not goal.unmet(state))


@given(state=states)
def test_unknown_never_breaks_what_known_values_left_whole(state: State) -> None:
    """Losing sight of a fact opens no incident."""
    for goal in GOALS:
        if goal.is_broken(state):
            continue
        for name in state:
            assert not goal.is_broken({**state, name: UNKNOWN})


@pytest.mark.parametrize(
    ("fact", "value", "goal"),
    [
        (DATA_TRUST, "faulty", DATA_TRUSTED),
        (INPUTS, "fallback", DATA_TRUSTED),
        (QUARANTINE, "pending", DATA_TRUSTED),
        (CHALLENGER, "registered", RELEASE_DECIDED),
        (CANARY, "undecided", RELEASE_DECIDED),
        (CHAMPION, "broken", RELEASE_DECIDED),
        (FORMER, "warm", RELEASE_DECIDED),
        (QUALITY, "degraded", QUALITY_MET),
    ],
)
def test_each_fault_breaks_exactly_one_goal(fact: str, value: str, goal: Goal) -> None:
    """One incident per fault, under the goal that knows what to do about it."""
    broken = [g.name for g in GOALS if g.is_broken({**QUIET, fact: value})]

    assert broken == [goal.name]


def test_a_repair_is_not_finished_before_its_scaffold_is_down() -> None:
    """Quality may be met again while the former champion is still warm: not reached yet."""
    missing = QUALITY_MET.unmet({**QUIET, FORMER: "warm", CHAMPION: "probation"})

    assert {condition.fact for condition in missing} == {FORMER, CHAMPION}


def test_goals_are_found_by_their_names_and_the_data_comes_first() -> None:
    """A data fault is looked at before what it may have caused."""
    assert [goal_named(goal.name) for goal in GOALS] == list(GOALS)
    assert GOALS[0].concern == "data"


def ended(outcome: str, status: str, at: str, goal: Goal = QUALITY_MET) -> IncidentSummary:
    return IncidentSummary(
        id="inc-1",
        target="default/parcels",
        goal=goal.name,
        concern=goal.concern,
        trigger=goal.trigger,
        summary="",
        status=status,  # type: ignore[arg-type]
        outcome=outcome,
        detected_at=at,
        resolved_at=at,
        resolved_event_time=at,
    )


@pytest.mark.parametrize(
    ("outcome", "status", "days", "rests"),
    [
        ("escalated", "escalated", 1, True),
        ("escalated", "escalated", 4, False),
        (LEFT_ALONE, "resolved", 1, True),
        (LEFT_ALONE, "resolved", 4, False),
        ("promoted", "resolved", 1, False),
    ],
)
def test_what_was_given_up_or_left_alone_rests_for_the_cool_down(
    tmp_path: Path, outcome: str, status: str, days: int, rests: bool
) -> None:
    """Event time counts (here three days); what was repaired may break again at once."""
    world = World(tmp_path)
    session = session_of(world)
    session.event_time = (world.event_time + timedelta(days=days)).isoformat()
    before = [ended(outcome, status, world.event_time.isoformat())]

    assert is_resting(session, QUALITY_MET, before) is rests
    assert not is_resting(session, DATA_TRUSTED, before)
    assert not is_resting(session, QUALITY_MET, [])
