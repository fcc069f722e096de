"""A person's yes or no to exactly one step: asked for and answered in the journal.

An approval is good for one digest (target, tool, arguments, incident, attempt), once, until it
expires; whoever answers second is told that it came too late.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.journal import Journal
from orchestrator.journal.payloads import ApprovalGiven, ApprovalRejected, ApprovalRequested
from orchestrator.session import Session
from orchestrator.steps import StepRecord
from tools.clock import Clock
from tools.errors import Invalid, Refused
from tools.values import Value, digest

VALID_FOR = timedelta(hours=24)


class Answer(Value):
    """Where a request for approval stands."""

    approval: str
    status: Literal["pending", "given", "rejected", "expired"]
    by: str = ""
    reason: str = ""


def ask(session: Session, step: StepRecord, reasons: tuple[str, ...]) -> Answer:
    """The answer to this step's request; makes the request when there is none."""
    journal = session.recorder.journal
    found = find(journal, step.key, now=session.desk.clock.now())
    if found is not None:
        return found
    now = session.desk.clock.now()
    request = ApprovalRequested(
        approval=step.key,
        tool=step.operation.tool,
        arguments=dict(step.operation.arguments),
        reasons=reasons,
        digest=_digest(session.target, step),
        expires_at=(now + VALID_FOR).isoformat(),
    )
    session.remember(
        None, [(kinds.APPROVAL_REQUESTED, "policies", request)], incident=step.incident
    )
    return Answer(approval=step.key, status="pending")


def find(journal: Journal, approval: str, *, now: datetime) -> Answer | None:
    """Where the request stands; None when there is no such request."""
    request = _request(journal, approval)
    if request is None:
        return None
    asked = request.read(ApprovalRequested)
    for event in _answers(journal, approval):
        if event.kind == kinds.APPROVAL_REJECTED:
            said = event.read(ApprovalRejected)
            return Answer(approval=approval, status="rejected", by=said.by, reason=said.reason)
        given = event.read(ApprovalGiven)
        if given.digest == asked.digest:
            return Answer(approval=approval, status="given", by=given.by)
    if asked.expires_at and now >= datetime.fromisoformat(asked.expires_at):
        return Answer(approval=approval, status="expired", reason=f"expired {asked.expires_at}")
    return Answer(approval=approval, status="pending")


def answer(
    journal: Journal, clock: Clock, approval: str, *, by: str, approve: bool, reason: str = ""
) -> ApprovalRequested:
    """Write a person's answer. Raises Invalid for an unknown request, Refused for a late one."""
    request = _request(journal, approval)
    if request is None:
        raise Invalid(
            f"there is no request {approval!r}; `mendloop incidents` lists what waits",
            field="approval",
        )
    standing = find(journal, approval, now=clock.now())
    if standing is None or standing.status != "pending":
        status = standing.status if standing else "gone"
        who = f" by {standing.by}" if standing and standing.by else ""
        raise Refused(f"too late: request {approval} is already {status}{who}")
    asked = request.read(ApprovalRequested)
    payload: Value = (
        ApprovalGiven(approval=approval, by=by, digest=asked.digest)
        if approve
        else ApprovalRejected(approval=approval, by=by, reason=reason)
    )
    journal.append(
        kinds.APPROVAL_GIVEN if approve else kinds.APPROVAL_REJECTED,
        at=clock.now(),
        actor=by,
        payload=payload,
        target=request.target,
        incident=request.incident,
    )
    return asked


def _request(journal: Journal, approval: str) -> Event | None:
    asked = journal.events(kinds=[kinds.APPROVAL_REQUESTED])
    return next((e for e in reversed(asked) if e.payload["approval"] == approval), None)


def _answers(journal: Journal, approval: str) -> list[Event]:
    both = journal.events(kinds=[kinds.APPROVAL_GIVEN, kinds.APPROVAL_REJECTED])
    return [event for event in both if event.payload["approval"] == approval]


def _digest(target: str, step: StepRecord) -> str:
    return digest(
        {
            "target": target,
            "tool": step.operation.tool,
            "arguments": step.operation.arguments,
            "incident": step.incident,
            "attempt": step.attempt,
        }
    )
