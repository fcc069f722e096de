"""Plans without acting: the facts of now, and what each broken goal would lead to."""

from __future__ import annotations

from agents.catalog import all_tools
from agents.facts import Scalar
from agents.monitor.diagnose import diagnose_target, diagnosed_facts
from agents.monitor.state import facts_of
from agents.ports import Desk
from agents.served import look
from orchestrator.goals import GOALS, Goal
from orchestrator.journal.journal import Journal
from orchestrator.planner import NoPlan, make_plan
from orchestrator.recorder import Recorder
from tools.errors import Invalid
from tools.managed_model import ManagedModel
from tools.values import Value


class PlannedGoal(Value):
    """What would be done for one goal."""

    goal: str
    steps: tuple[str, ...] = ()
    cost: float = 0.0
    runner_up: tuple[str, ...] = ()
    runner_up_cost: float = 0.0
    rejected: dict[str, str] = {}
    missing: tuple[str, ...] = ()
    """Why there is no plan, when there is none."""


class Preview(Value):
    """Facts and plans of one target."""

    target: str
    event_time: str
    facts: dict[str, Scalar]
    plans: tuple[PlannedGoal, ...]


def preview(desk: Desk, model: ManagedModel, journal: Journal, *, goal: str = "") -> Preview:
    """What the controller believes now and would do; ``goal`` is planned for even if it holds."""
    memory = Recorder(journal, desk.clock, model.target).last_memory()
    facts = facts_of(model, look(desk, model), memory)
    watermark = desk.log.extent(model.target).watermark
    event_time = watermark.isoformat() if watermark else ""
    wanted = [g for g in GOALS if g.name == goal] if goal else []
    if goal and not wanted:
        names = "; ".join(g.name for g in GOALS)
        raise Invalid(f"there is no goal {goal!r}; one of: {names}", field="--goal")
    wanted = wanted or [g for g in GOALS if g.is_broken(facts)]
    if any(g.needs_cause for g in wanted):
        facts |= diagnosed_facts(diagnose_target(desk, model, memory, event_time))
    return Preview(
        target=model.target,
        event_time=event_time,
        facts=facts,
        plans=tuple(_planned(g, model, facts) for g in wanted),
    )


def _planned(goal: Goal, model: ManagedModel, facts: dict[str, Scalar]) -> PlannedGoal:
    operations = [
        operation
        for tool in all_tools().values()
        if tool.contract.concern == goal.concern
        for operation in tool.operations(model)
    ]
    found = make_plan(goal.name, goal.reached_when, facts, operations, {})
    rejected = {r.option: r.reason for r in found.rejected}
    if isinstance(found, NoPlan):
        return PlannedGoal(goal=goal.name, missing=found.missing, rejected=rejected)
    return PlannedGoal(
        goal=goal.name,
        steps=tuple(step.name for step in found.steps),
        cost=found.cost,
        runner_up=tuple(step.name for step in found.runner_up),
        runner_up_cost=found.runner_up_cost or 0.0,
        rejected=rejected,
    )
