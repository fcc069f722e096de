"""Moves a target up and down the ladder of autonomy, and writes down why."""

from __future__ import annotations

import structlog

from orchestrator.journal import kinds
from orchestrator.journal.payloads import AutonomyChanged
from orchestrator.ladder import due_move
from orchestrator.session import Session

log = structlog.get_logger()


def is_due(session: Session) -> bool:
    """Whether the record asks for a step now."""
    return _due(session) is not None


def review(session: Session, *, incident: str = "") -> None:
    """Take the step that the record asks for now, if any; at most one at a time.

    Going down is never put off: it is asked again right before each act.
    """
    move = _due(session)
    if move is None:
        return
    session.remember(None, [(kinds.AUTONOMY_CHANGED, "orchestrator", move)], incident=incident)
    level = log.warning if move.cause == "revoked" else log.info
    level("autonomy.changed", target=session.target, rung=move.after, reason=move.reason)


def _due(session: Session) -> AutonomyChanged | None:
    rules = session.model.spec.guardrails
    if rules.ladder is None:
        return None
    standing = session.rulebook.record.standing(session.target)
    return due_move(rules, standing, session.event_time)
