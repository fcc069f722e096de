"""What rules may read of a step: filled in from the world, the memory and the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.contract import Cost
from agents.memory import TargetMemory
from orchestrator.evidence_context import error_budget_of, evidence_digest, evidence_of
from orchestrator.guard import rule_on
from orchestrator.session import Session
from orchestrator.steps import act, new_step
from policies.context import GuardContext, PlanContext
from simulations.population import parcels_model
from simulations.rehearsal import session_of
from simulations.world import World
from tools.statistics.losses import MaturedWindow
from tools.statistics.performance import PerformanceProcess


def judged_by(process: PerformanceProcess | None) -> TargetMemory:
    return TargetMemory(performance=process, judged_until="2026-01-05T00:00:00")


def process(*losses: float) -> PerformanceProcess:
    """Reference 0.3, tolerance 0.05; one window of 100 rows per mean loss."""
    found = PerformanceProcess(reference_loss=0.3, tolerance=0.05)
    for loss in losses:
        found = found.update(window(loss))
    return found


def window(loss: float) -> MaturedWindow:
    return MaturedWindow(
        matured=100,
        labelled=100,
        loss=100 * loss,
        expected=30.0,
        loss_squares=100 * loss**2,
        excess_squares=1.0,
        least_excess=-25.0,
    )


def model(**guardrails: Any) -> Any:
    return parcels_model("history.parquet", guardrails=guardrails)


def test_evidence_says_what_was_measured_and_what_was_not() -> None:
    """Verdicts by question, figures, how many windows; nothing of a model nobody has judged."""
    seen = evidence_of(model(), judged_by(process(0.3, 0.32)))
    unseen = evidence_of(model(), TargetMemory())

    assert seen.verdicts == {"quality.loss": "unknown", "quality.excess": "unknown"}
    assert seen.loss == pytest.approx(0.31)
    assert (seen.windows, seen.label_rate) == (2, 1.0)
    assert seen.judged_until is not None
    assert (unseen.verdicts, unseen.loss, unseen.judged_until) == ({}, None, None)


def test_the_digest_of_evidence_changes_with_the_evidence_alone() -> None:
    """Same evidence, same digest: what a retry is measured by."""
    one, other = judged_by(process(0.3)), judged_by(process(0.3, 0.3))
    later = one.model_copy(update={"refused": ("7",)})

    assert evidence_digest(one) == evidence_digest(later)
    assert evidence_digest(one) != evidence_digest(other)


@pytest.mark.parametrize(
    ("losses", "bad", "left"),
    [
        ((), 0, 1.0),
        ((0.3,) * 8, 0, 1.0),
        ((0.3,) * 7 + (0.4,), 1, 0.5),
        ((0.3,) * 6 + (0.4,) * 2, 2, 0.0),
        ((0.3,) * 5 + (0.4,) * 3, 3, -0.5),
        ((0.4,) * 3 + (0.3,) * 8, 0, 1.0),
    ],
)
def test_an_error_budget_is_used_up_by_bad_windows_and_recovers(
    losses: tuple[float, ...], bad: int, left: float
) -> None:
    """Of the newest 8 windows three quarters are to be good: two may be bad."""
    wanted = {"errorBudget": {"objective": 0.75, "windows": 8}}
    found = error_budget_of(model(**wanted), judged_by(process(*losses)))

    assert (found.is_set, found.bad) == (True, bad)
    assert found.left == pytest.approx(left)


def test_without_an_error_budget_nothing_is_asked() -> None:
    """It is not set, rather than used up."""
    assert error_budget_of(model(), judged_by(process(9.0))).is_set is False


def asked(session: Session, tool: str, *, incident: str = "inc-2") -> GuardContext:
    operation = session.tools[tool].operations(session.model)[-1]
    plan = PlanContext(goal="g", tools=(operation.name,))
    return rule_on(session, operation, incident=incident, plan=plan).context


def test_a_step_that_began_counts_in_budgets_and_history_of_the_next_incident(
    tmp_path: Path,
) -> None:
    """By its intent: after a crash nobody knows whether it took effect."""
    limits = {"budget": {"money": 50, "changes": 5}}
    session = session_of(World(tmp_path, guardrails=limits))
    session.event_time = "2021-03-02T00:00:00"
    operation = session.tools["quarantine_window"].operations(session.model)[0]
    train = session.tools["retrain_full"].operations(session.model)[0]
    for each in (operation, train):
        act(session, new_step(session, each, incident="inc-1", number=1, attempt=1))
    session.event_time = "2021-03-05T00:00:00"
    found = asked(session, "retrain_recent")

    assert found.budget.limits == {"money": 50.0, "changes": 5.0}
    assert found.budget.spent == {"changes": 0.0, "minutes": 10.0, "money": 10.0}
    assert (found.history.same_kind, found.history.hours_since_same_kind) == (1, 72.0)
    assert found.fleet.spent is not None
    assert found.fleet.spent["retrains"] == 1.0
    assert asked(session, "retrain_recent", incident="inc-1").history.same_kind == 0


def test_a_steps_risks_have_names(tmp_path: Path) -> None:
    """Those that a document may ask about."""
    session = session_of(World(tmp_path))

    assert asked(session, "advance_canary").step.risks == ("most-traffic", "all-traffic")
    assert asked(session, "retire_version").step.risks == ("gives-up-way-back",)
    assert asked(session, "retrain_full").step.risks == ("trains",)
    assert asked(session, "roll_back").step.risks == ()


def test_an_undo_is_mendloops_own_only_after_what_it_undoes(tmp_path: Path) -> None:
    """What somebody else routed is not mendloop's to take back on the lowest rung."""
    world = World(tmp_path)
    session = session_of(world)
    before = asked(session, "roll_back").step.takes_back_own
    start = session.tools["start_canary"].operations(session.model)[0]
    act(session, new_step(session, start, incident="inc-1", number=1, attempt=1))
    after = asked(session, "roll_back").step.takes_back_own

    assert (before, after) == (False, True)


def test_local_time_is_in_the_targets_zone(tmp_path: Path) -> None:
    """As its document says; 1 January 2013, 00:02 UTC is New Year's Eve in New York."""
    world = World(tmp_path, guardrails={"timeZone": "America/New_York"})
    found = asked(session_of(world), "promote").calendar

    assert found.local_time is not None
    assert found.local_time.startswith("2012-12-31T19:0")
    assert found.weekday == "monday"


def test_costs_are_what_the_contracts_say(tmp_path: Path) -> None:
    """Minutes, and money as minutes of one CPU node."""
    session = session_of(World(tmp_path))
    cost = session.tools["retrain_full"].operations(session.model)[0].cost
    step = asked(session, "retrain_full").step

    assert cost == Cost(minutes=10.0, money=10.0)
    assert (step.cost_minutes, step.cost_money) == (10.0, 10.0)
