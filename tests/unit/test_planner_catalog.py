"""The planner with the real tools, in the states that incidents are typically in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.catalog import all_tools
from agents.facts import (
    CANARY,
    CAUSE,
    CHALLENGER,
    CHAMPION,
    DATA_TRUST,
    FORMER,
    INPUTS,
    PROVED,
    QUALITY,
    QUARANTINE,
    SERVICE,
    SHADOW,
    SHARE,
    SKEW,
    SPARES,
    TRAINING_DATA,
    UNKNOWN,
    VOCABULARY,
    Scalar,
)
from orchestrator.goals import DATA_TRUSTED, QUALITY_MET, RELEASE_DECIDED, TIDY, Goal
from orchestrator.planner import NoPlan, Plan, make_plan
from simulations.population import parcels_model

State = dict[str, Scalar]

QUIET: State = {
    **dict.fromkeys(VOCABULARY, UNKNOWN),
    DATA_TRUST: "trusted",
    QUARANTINE: "none",
    INPUTS: "raw",
    TRAINING_DATA: "none",
    QUALITY: "meets",
    CHALLENGER: "none",
    SHARE: 0,
    PROVED: 0,
    CANARY: "none",
    CHAMPION: "settled",
    FORMER: "none",
}


def plan_for(goal: Goal, ruled_out: dict[str, str] | None = None, **facts: Scalar) -> Plan | NoPlan:
    """The real tools on the simulated model, from a quiet target with some facts changed."""
    model = parcels_model("history.parquet")
    tools = [
        operation
        for tool in all_tools().values()
        if tool.contract.concern == goal.concern
        for operation in tool.operations(model)
    ]
    changed = {name.replace("__", "."): value for name, value in facts.items()}
    assert set(changed) <= set(VOCABULARY)
    return make_plan(goal.name, goal.reached_when, QUIET | changed, tools, ruled_out or {})


def names(plan: Plan | NoPlan) -> list[str]:
    assert isinstance(plan, Plan), plan
    return [step.name for step in plan.steps]


RELEASE = [
    "deploy_challenger",
    "start_canary(percent=10)",
    "judge_canary(percent=10)",
    "check_training_serving_skew",
    "advance_canary(percent=50)",
    "judge_canary(percent=50)",
    "advance_canary(percent=100)",
    "promote",
    "watch_probation",
    "retire_version",
]


def test_concept_drift_is_answered_with_a_retrain_and_a_whole_release() -> None:
    """From pinning to retiring, every step proved before the next, nothing skipped."""
    plan = plan_for(QUALITY_MET, quality="degraded", cause="concept_drift")

    assert names(plan) == ["pin_training_data(scope=full)", "retrain_full", *RELEASE]
    reasons = {r.option: r.reason for r in plan.rejected}
    assert "cause is covariate_drift is out of reach" in reasons["retrain_recent"]
    assert "cause is nothing is out of reach" in reasons["leave_alone"]


def test_covariate_drift_is_answered_by_the_cheaper_retrain_with_the_full_one_as_runner_up() -> (
    None
):
    """Two ways lead to a challenger; the price decides, and the other is named."""
    plan = plan_for(QUALITY_MET, quality="degraded", cause="covariate_drift")

    assert isinstance(plan, Plan)
    assert names(plan)[:2] == ["pin_training_data(scope=recent)", "retrain_recent"]
    assert "retrain_full" in [step.name for step in plan.runner_up]
    reasons = {r.option: r.reason for r in plan.rejected}
    assert "retrain_full" in reasons


def test_nothing_wrong_with_the_model_is_left_alone() -> None:
    """Doing nothing is priced like any other option and wins when nothing is to be cured."""
    assert names(plan_for(QUALITY_MET, quality="degraded", cause="nothing")) == ["leave_alone"]


@pytest.mark.parametrize("cause", ["covariate_drift", "concept_drift", "label_drift"])
def test_a_shift_without_a_harm_that_training_could_cure_is_left_alone(cause: str) -> None:
    """The loss rose as the model itself expected: newer data would change nothing about it."""
    plan = plan_for(QUALITY_MET, quality="degraded", cause=cause, retraining="cannot_help")

    assert names(plan) == ["leave_alone(despite=drift)"]


def test_a_cause_that_several_models_share_is_never_answered_with_training() -> None:
    """No model is taught what is broken upstream: there is no plan, and a person is called."""
    plan = plan_for(QUALITY_MET, quality="degraded", cause="shared_upstream", retraining="may_help")

    assert isinstance(plan, NoPlan)


def test_nothing_is_trained_while_the_data_is_faulty() -> None:
    """The model's tools cannot make the data trusted: there is no plan, and it says so."""
    plan = plan_for(QUALITY_MET, quality="degraded", cause="concept_drift", data__trust="faulty")

    assert isinstance(plan, NoPlan)
    stuck = {r.option: r.reason for r in plan.rejected}
    assert stuck["retrain_full"].startswith("needs ")
    assert "data.trust" in stuck["pin_training_data(scope=full)"]


def test_a_frozen_feed_is_quarantined_masked_awaited_and_restored() -> None:
    """No tool of the model's concern takes part."""
    plan = plan_for(DATA_TRUSTED, data__trust="faulty", data__quarantine="pending")

    assert names(plan) == [
        "quarantine_window",
        "fall_back_to_trusted_data",
        "await_trusted_data",
        "restore_inputs",
    ]


@pytest.mark.parametrize("found", ["harmful", "undecided"])
def test_a_canary_that_harms_or_is_not_decided_goes_back_first(found: str) -> None:
    """The undo precedes everything else, then the challenger goes."""
    plan = plan_for(
        RELEASE_DECIDED,
        challenger="ready",
        challenger__percent=50,
        canary=found,
        challenger__proved_percent=10,
    )

    assert names(plan) == ["roll_back", "withdraw_challenger"]


def test_a_refused_challenger_without_traffic_is_withdrawn() -> None:
    """Nothing is rolled back that was never moved."""
    assert names(plan_for(RELEASE_DECIDED, challenger="refused")) == ["withdraw_challenger"]


def test_a_broken_champion_is_switched_back_not_retrained() -> None:
    """The former champion is warm: it is by far the cheapest way."""
    plan = plan_for(RELEASE_DECIDED, champion="broken", former="warm")

    assert names(plan) == ["switch_back"]


def test_a_canary_cannot_advance_without_the_proof_before_it() -> None:
    """At 50 %, unproved: it is judged, not advanced."""
    plan = plan_for(
        RELEASE_DECIDED,
        challenger="ready",
        challenger__percent=50,
        canary="watching",
        challenger__proved_percent=10,
        skew="none",
    )

    assert names(plan)[0] == "judge_canary(percent=50)"


@given(
    facts=st.fixed_dictionaries(
        {
            CHALLENGER: st.sampled_from(("none", "registered", "ready", "refused")),
            SHARE: st.sampled_from((0, 10, 33, 50, 100)),
            PROVED: st.sampled_from((0, 10, 50)),
            CANARY: st.sampled_from(("none", "watching", "harmful", "undecided")),
            CHAMPION: st.sampled_from(("settled", "probation", "broken")),
            FORMER: st.sampled_from(("none", "warm")),
            SKEW: st.sampled_from(("none", "found", UNKNOWN)),
            QUALITY: st.sampled_from(("meets", "degraded", UNKNOWN)),
            CAUSE: st.sampled_from(("nothing", "concept_drift", UNKNOWN)),
        }
    )
)
@settings(max_examples=80, deadline=None)
def test_no_plan_routes_to_a_challenger_that_was_refused_or_found_harmful(facts: State) -> None:
    """Whatever is believed: traffic is only ever raised for a watched or untried challenger."""
    model = parcels_model("history.parquet")
    tools = [
        operation
        for tool in all_tools().values()
        if tool.contract.concern == "model"
        for operation in tool.operations(model)
    ]
    plan = make_plan("goal", RELEASE_DECIDED.reached_when, QUIET | facts, tools, {})
    if isinstance(plan, NoPlan):
        return
    state = QUIET | facts
    for step in plan.steps:
        raises = step.tool in ("start_canary", "advance_canary", "promote")
        assert not (raises and state[CANARY] in ("harmful", "undecided"))
        assert not (
            raises
            and state[CHALLENGER] in ("refused", "registered", "none")
            and (step.tool != "promote")
        )
        state = state | step.achieves


def half_way_states() -> Iterator[State]:
    """What a look can find where something is half-way and not being watched any more: traffic and
    an undecided or harmful canary come together, a probation and a warm former champion too."""
    for challenger, canary, share, (champion, former), spares, shadow in product(
        ("none", "registered", "ready", "refused"),
        ("none", "harmful", "undecided"),
        (0, 10, 50, 100),
        (("settled", "none"), ("settled", "warm"), ("probation", "warm"), ("broken", "warm")),
        ("none", "idle"),
        ("none", "watching", "passed", "harmful", "undecided"),
    ):
        has_challenger = challenger != "none"
        if (canary == "none") != (share == 0) or (shadow != "none" and canary != "none"):
            continue
        if not has_challenger and {canary, shadow} & {"harmful", "watching", "passed"}:
            continue
        yield QUIET | {
            CHALLENGER: challenger,
            CANARY: canary,
            SHARE: share,
            CHAMPION: champion,
            FORMER: former,
            SPARES: spares,
            SHADOW: shadow,
            SERVICE: "answers",
        }


def test_whatever_is_half_way_there_is_a_way_to_leave_nothing_so() -> None:
    """In every such state: else an incident ends with a person who has to find out what is left."""
    model = parcels_model(
        "history.parquet", rollout={"shadow": {"percent": 50, "for": "1m", "deadline": "5m"}}
    )
    tools = [
        operation
        for tool in all_tools().values()
        if tool.contract.concern == TIDY.concern
        for operation in tool.operations(model)
    ]

    states = list(half_way_states())
    stuck = [
        state
        for state in states
        if isinstance(make_plan(TIDY.name, TIDY.reached_when, state, tools, {}), NoPlan)
    ]

    assert len(states) > 300
    assert stuck == []
