"""Asks a person about one step: makes the request, ends it when the world outran it, asks again.

Called each time the step comes before the guardrails; writes only when something changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.approval_terms import differences, terms_of
from orchestrator.approvals import APPROVAL_KINDS, Standing, fold_approvals
from orchestrator.journal import kinds
from orchestrator.journal.interventions import (
    ApprovalExpired,
    ApprovalInvalidated,
    ApprovalRequested,
    ApprovalUsed,
)
from orchestrator.recorder import Line
from orchestrator.session import Session
from orchestrator.steps import StepRecord, is_begun
from policies.ruling import Ruling
from tools.values import Value, digest


class Question(Value):
    """One step that waits for a person, and what the answer is to be good for."""

    step: StepRecord
    ruling: Ruling
    terms: dict[str, Any]
    before: tuple[Standing, ...]
    """The requests that were made for this step so far."""

    @property
    def last(self) -> Standing | None:
        """The newest of them."""
        return self.before[-1] if self.before else None


def ask(session: Session, step: StepRecord, ruling: Ruling) -> Standing:
    """The answer to this step's request, which is made when there is none that still fits.

    "given" and "used" let the step act: used is the same act, taken up under its key. "expired"
    means that nobody answered and the document says to go back; "invalidated" that the step itself
    does not fit the world any more. Raises Unavailable when the world does not answer.
    """
    events = session.recorder.journal.events(incident=step.incident, kinds=APPROVAL_KINDS)
    before = tuple(s for s in fold_approvals(events) if s.request.key == step.key)
    last = before[-1] if before else None
    if last is not None and (last.status == "rejected" or is_taken_up(session, step, last)):
        return last
    if unmet := step.operation.unmet(session.state.values()):
        return _withdraw(session, step, last, tuple(f"no longer so: {c}" for c in unmet))
    terms = terms_of(session, step, ruling)
    question = Question(step=step, ruling=ruling, terms=terms, before=before)
    if last is None:
        return _request(session, question)
    if last.status in ("invalidated", "used"):
        return _request(session, question, changed=(last.reason or "the step was taken back",))
    if last.status == "expired":
        return last
    if changed := differences(last.request.bound, terms):
        return _request(session, question, changed=changed, lines=_outrun(last, changed))
    if last.is_over(session.desk.clock.now()):
        return _ran_out(session, question, last)
    return last


def withdraw(session: Session, step: StepRecord, why: str) -> None:
    """End the question about the step, if one stands: nobody needs the answer any more."""
    events = session.recorder.journal.events(incident=step.incident, kinds=APPROVAL_KINDS)
    mine = [s for s in fold_approvals(events) if s.request.key == step.key]
    if mine and mine[-1].status in ("pending", "given"):
        session.remember(None, list(_outrun(mine[-1], (why,))), incident=step.incident)


def is_taken_up(session: Session, step: StepRecord, standing: Standing) -> bool:
    """Whether the step was begun under this approval: going on with it is no second use."""
    return standing.status == "used" and is_begun(session, step)


def use_of(standing: Standing, step: StepRecord) -> ApprovalUsed | None:
    """What is written with the intent of the step; None when it is written already."""
    if standing.status != "given":
        return None
    return ApprovalUsed(
        approval=standing.approval,
        by=standing.by,
        key=step.key,
        digest=standing.request.digest,
    )


def _request(
    session: Session,
    question: Question,
    *,
    changed: tuple[str, ...] = (),
    lines: Sequence[Line] = (),
) -> Standing:
    """Make the request; ``lines`` end the one before in the same moment."""
    rules, now = session.model.spec.guardrails, session.desk.clock.now()
    tool, step, last = question.step.operation.tool, question.step, question.last
    name = digest([question.terms, len(question.before)])[:8]
    request = ApprovalRequested(
        approval=f"{tool.replace('_', '-')}-{name}",
        tool=tool,
        arguments=dict(step.operation.arguments),
        reasons=question.ruling.reasons,
        digest=digest(question.terms),
        expires_at=(now + rules.approval_valid_for).isoformat(),
        key=step.key,
        bound=question.terms,
        replaces=last.approval if last else "",
        changed=changed,
        contact=rules.approval_contact,
        event_time=session.event_time,
    )
    asked: Line = (kinds.APPROVAL_REQUESTED, "policies", request)
    session.remember(None, [*lines, asked], incident=step.incident)
    return Standing(
        request=request, target=session.target, incident=step.incident, at=now.isoformat()
    )


def _outrun(last: Standing, changed: tuple[str, ...]) -> tuple[Line, ...]:
    ended = ApprovalInvalidated(approval=last.approval, changed=changed)
    return ((kinds.APPROVAL_INVALIDATED, "policies", ended),)


def _withdraw(
    session: Session, step: StepRecord, last: Standing | None, changed: tuple[str, ...]
) -> Standing:
    """The step does not fit the world any more: nobody is to be asked about it."""
    if last is not None and last.status in ("pending", "given"):
        session.remember(None, list(_outrun(last, changed)), incident=step.incident)
    nothing = ApprovalRequested(
        approval="", tool=step.operation.tool, arguments={}, reasons=(), digest=""
    )
    return Standing(
        request=last.request if last else nothing,
        target=session.target,
        incident=step.incident,
        status="invalidated",
        reason="; ".join(changed),
    )


def _ran_out(session: Session, question: Question, last: Standing) -> Standing:
    """Nobody answered, or nobody used the answer, in time."""
    until = last.request.expires_at
    if last.status == "given":
        changed = (f"the yes of {last.by} was not used until {until}",)
        return _request(session, question, changed=changed, lines=_outrun(last, changed))
    rules = session.model.spec.guardrails
    then = rules.approval_unanswered
    if then == "escalate" and any(s.status == "expired" for s in question.before):
        then = "undo"
    over = ApprovalExpired(
        approval=last.approval, tool=last.request.tool, contact=rules.approval_contact, then=then
    )
    line: Line = (kinds.APPROVAL_EXPIRED, "policies", over)
    if then == "undo":
        session.remember(None, [line], incident=question.step.incident)
        return last.model_copy(update={"status": "expired"})
    changed = (f"nobody answered until {until}",)
    return _request(session, question, changed=changed, lines=(line,))
