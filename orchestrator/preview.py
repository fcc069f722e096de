"""Plans without acting: the facts of now, and what each broken goal would lead to."""

from __future__ import annotations

from pathlib import Path

from agents.catalog import all_tools
from agents.facts import Scalar
from agents.monitor.diagnose import diagnose_target, diagnosed_facts
from agents.monitor.state import facts_of
from agents.ports import Desk
from agents.served import look
from orchestrator.goals import GOALS, Goal
from orchestrator.journal.journal import Journal
from orchestrator.kill_switch import STOP_FILE, KillSwitch
from orchestrator.options import options_of
from orchestrator.planner import NoPlan
from orchestrator.recorder import Recorder
from orchestrator.rule_folder import RuleFolder
from orchestrator.rulebook import Rulebook
from orchestrator.session import Session
from orchestrator.track_record import TrackRecord
from tools.errors import Invalid
from tools.lease import Lease
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


class _LooksOn:
    """Implements Leases for somebody who never acts: whatever would write is refused."""

    def acquire(self, target: str, holder: str) -> Lease | None:
        """See Leases."""
        return None

    def is_held(self, lease: Lease) -> bool:
        """See Leases."""
        return False

    def release(self, lease: Lease) -> None:
        """See Leases."""


def preview(
    desk: Desk, model: ManagedModel, journal: Journal, *, home: Path, goal: str = ""
) -> Preview:
    """What the controller believes now and would do under the rules of ``home``; ``goal`` is
    planned for even if it holds."""
    session = _onlooker(desk, model, journal, home)
    facts = facts_of(model, look(desk, model), session.memory)
    wanted = [g for g in GOALS if g.name == goal] if goal else []
    if goal and not wanted:
        names = "; ".join(g.name for g in GOALS)
        raise Invalid(f"there is no goal {goal!r}; one of: {names}", field="--goal")
    wanted = wanted or [g for g in GOALS if g.is_broken(facts)]
    if any(g.needs_cause for g in wanted):
        diagnosis = diagnose_target(desk, model, session.memory, session.event_time)
        facts |= diagnosed_facts(diagnosis)
    session.learn(facts, source="monitor.observe")
    return Preview(
        target=model.target,
        event_time=session.event_time,
        facts=facts,
        plans=tuple(_planned(g, session, facts) for g in wanted),
    )


def _onlooker(desk: Desk, model: ManagedModel, journal: Journal, home: Path) -> Session:
    """A session that reads what a controller's would, and cannot write."""
    tools, recorder = all_tools(), Recorder(journal, desk.clock, model.target)
    watermark = desk.log.extent(model.target).watermark
    record = TrackRecord(journal, tools)
    return Session(
        model=model,
        desk=desk,
        recorder=recorder,
        tools=tools,
        rulebook=Rulebook.of([model], record, source=RuleFolder([home / "policies"])),
        leases=_LooksOn(),
        lease=Lease(target=model.target, holder="preview", token=0),
        kill_switch=KillSwitch(home / STOP_FILE),
        memory=recorder.last_memory(),
        event_time=watermark.isoformat() if watermark else "",
    )


def _planned(goal: Goal, session: Session, facts: dict[str, Scalar]) -> PlannedGoal:
    options = options_of(session, goal, incident="", ruled_out={}, denied={})
    found = options.plan(goal, facts)
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
