"""Whether a goal that was given up rests: until the cool-down ends, only news reopens it."""

from __future__ import annotations

from collections.abc import Sequence

from agents.windows import parse
from orchestrator.goals import Goal
from orchestrator.journal.incidents import IncidentSummary
from orchestrator.reporting import LEFT_ALONE
from orchestrator.session import Session


def is_resting(session: Session, goal: Goal, incidents: Sequence[IncidentSummary]) -> bool:
    """Whether the goal was given up or left alone so recently that only new evidence may reopen
    it: the cool-down, in event time."""
    ended = [i for i in incidents if i.goal == goal.name and i.status in ("resolved", "escalated")]
    if not ended or not session.event_time:
        return False
    last = ended[-1]
    if last.status == "resolved" and last.outcome != LEFT_ALONE:
        return False
    if not last.resolved_event_time:
        return False
    passed = parse(session.event_time) - parse(last.resolved_event_time)
    return passed < session.model.spec.guardrails.cool_down
