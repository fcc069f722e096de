"""Opens an incident where a goal is broken that no open incident cares for."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from orchestrator.goals import GOALS, Goal
from orchestrator.journal import kinds
from orchestrator.journal.incidents import IncidentSummary, fold_incidents
from orchestrator.journal.payloads import IncidentOpened
from orchestrator.resting import is_resting
from orchestrator.session import Session

log = structlog.get_logger()


def broken_goals(session: Session, incidents: Sequence[IncidentSummary]) -> list[Goal]:
    """Those to open an incident for, one per concern; ``incidents``: the target's, all of them."""
    busy = {i.concern for i in incidents if i.status in ("open", "waiting")}
    found: list[Goal] = []
    for goal in GOALS:
        broken = goal.concern not in busy and goal.is_broken(session.state.values())
        if broken and not is_resting(session, goal, incidents):
            found.append(goal)
            busy.add(goal.concern)
    return found


def open_incident(session: Session, goal: Goal, incident: str) -> IncidentSummary:
    """Write down that it begins, and the facts that broke the goal."""
    facts = session.state.values()
    payload = IncidentOpened(
        goal=goal.name,
        concern=goal.concern,
        trigger=goal.trigger,
        summary=_summary(session, goal),
        event_time=session.event_time,
        facts=facts,
    )
    session.remember(None, [(kinds.INCIDENT_OPENED, "monitor", payload)], incident=incident)
    log.info("incident.opened", incident=incident, target=session.target, goal=goal.name)
    return fold_incidents(session.recorder.journal.events(incident=incident))[0]


def _summary(session: Session, goal: Goal) -> str:
    """The facts that broke the goal; for one that nothing is wrong about, what asks for it."""
    refresh = session.memory.refresh
    if goal.gives_way and refresh is not None:
        return f"due: {refresh.due}"
    facts = session.state.values()
    return "; ".join(str(c) for c in goal.broken_when if c.holds(facts))
