"""Acts: intent, then the act, then what it came to, each durable before the next.

After a crash anywhere in between, the same step is taken up under the same key: an intent without
an outcome may have taken effect, so every tool's ``apply`` looks at the world first and the ports
make nothing twice under one key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from agents.contract import Call, Holds, Operation, Receipt, Verification
from agents.facts import Scalar
from orchestrator.fence import fenced
from orchestrator.journal import kinds
from orchestrator.journal.payloads import (
    EvidenceJudged,
    Reasons,
    StepIntended,
    StepOutcome,
    StepVerified,
)
from orchestrator.recorder import Line
from orchestrator.session import Session, shifted_line
from tools.errors import Invalid, Refused, Unavailable, Uncertain
from tools.values import Value, digest

Result = Literal["applied", "already", "refused", "unavailable", "failed"]
_SHIFTING = ("start_canary", "advance_canary", "roll_back")
_VERDICTS: dict[Holds, Literal["healthy", "harmful", "unknown"]] = {
    Holds.HOLDS: "healthy",
    Holds.BROKEN: "harmful",
    Holds.UNKNOWN: "unknown",
}


class StepRecord(Value):
    """A step under way: small and JSON-native, because the checkpointer keeps it."""

    operation: Operation
    incident: str
    number: int
    """Place among the incident's steps, from 1."""
    attempt: int
    key: str
    started_s: float
    """Monotonic seconds."""


class Acted(StrEnum):
    """How an act ended. AGAIN: nothing changed, try later; LATE: that went on until the deadline;
    BLOCKED: this way is closed."""

    DONE = "done"
    AGAIN = "again"
    LATE = "late"
    BLOCKED = "blocked"


_ACTED: dict[Result, Acted] = {
    "applied": Acted.DONE,
    "already": Acted.DONE,
    "refused": Acted.BLOCKED,
    "unavailable": Acted.LATE,
    "failed": Acted.BLOCKED,
}


def new_step(
    session: Session, operation: Operation, *, incident: str, number: int, attempt: int
) -> StepRecord:
    """The step, with the key that says what it *is*, wherever it stands in a plan."""
    key = digest(
        {
            "tool": operation.tool,
            "target": session.target,
            "arguments": operation.arguments,
            "incident": incident,
            "attempt": attempt,
        }
    )[:24]
    return StepRecord(
        operation=operation,
        incident=incident,
        number=number,
        attempt=attempt,
        key=f"{operation.tool.replace('_', '-')}-{key}",
        started_s=session.desk.clock.monotonic_s(),
    )


def act(session: Session, step: StepRecord) -> tuple[Acted, str]:
    """Carry the step out once, whatever happened before; says how it ended and why."""
    if not session.holds_lease():
        return Acted.AGAIN, "the lease on this target is lost; nothing is done"
    known = _outcome_of(session, step)
    if known is not None:
        return _ACTED[known.result], known.detail
    if not is_begun(session, step):
        _write_intent(session, step)
    tool = session.tools[step.operation.tool]
    try:
        receipt = tool.apply(
            fenced(session, step.operation), call_of(session, step), session.memory
        )
    except Uncertain as error:
        return Acted.AGAIN, f"it may have happened: {error}"
    except Unavailable as error:
        return _not_now(session, step, str(error))
    except (Refused, Invalid) as error:
        _write_outcome(session, step, "refused", detail=str(error))
        return Acted.BLOCKED, str(error)
    result: Result = "already" if receipt.already else "applied"
    _write_outcome(session, step, result, detail=receipt.detail, receipt=receipt)
    return Acted.DONE, receipt.detail


def abandon(session: Session, step: StepRecord, reason: str) -> bool:
    """Answer an intent whose act will not be tried again; False when there was none."""
    if not _is_written(session, step, kinds.STEP_INTENDED):
        return False
    if not is_answered(session, step):
        detail = f"given up; whether it took effect, the next look says: {reason}"
        _write_outcome(session, step, "failed", detail=detail)
    return True


def check(session: Session, step: StepRecord) -> Verification:
    """Ask the tool whether its promise holds; past the deadline, unknown becomes broken."""
    tool = session.tools[step.operation.tool]
    try:
        found = tool.verify(fenced(session, step.operation), call_of(session, step), session.memory)
    except Unavailable as error:
        found = Verification(holds=Holds.UNKNOWN, detail=str(error))
    except (Refused, Invalid) as error:
        found = Verification(holds=Holds.BROKEN, detail=str(error))
    if found.holds is Holds.UNKNOWN and _is_late(session, step):
        detail = f"not done within {tool.contract.deadline_s:g} s: {found.detail}"
        found = found.model_copy(update={"holds": Holds.BROKEN, "detail": detail})
    _write_verification(session, step, found)
    session.learn(found.facts, source=f"{step.operation.agent}.{step.operation.tool}")
    return found


def call_of(session: Session, step: StepRecord) -> Call:
    """What every verb of a tool is given."""
    return Call(
        model=session.model,
        incident=step.incident,
        key=step.key,
        token=session.lease.token,
        operation=step.operation,
        started_s=step.started_s,
    )


def is_begun(session: Session, step: StepRecord) -> bool:
    """Whether the intent is on record: the act may have taken effect."""
    return _is_written(session, step, kinds.STEP_INTENDED)


def is_answered(session: Session, step: StepRecord) -> bool:
    """Whether the step's act has an outcome; an intent without one may have taken effect."""
    return _outcome_of(session, step) is not None


def _outcome_of(session: Session, step: StepRecord) -> StepOutcome | None:
    """What a controller wrote that died right after it: the step is not taken a second time."""
    written = session.recorder.journal.events(incident=step.incident, kinds=[kinds.STEP_OUTCOME])
    found = [event.read(StepOutcome) for event in written if event.payload["key"] == step.key]
    return found[-1] if found else None


def _is_written(session: Session, step: StepRecord, kind: str) -> bool:
    written = session.recorder.journal.events(incident=step.incident, kinds=[kind])
    return any(event.payload["key"] == step.key for event in written)


def _is_late(session: Session, step: StepRecord) -> bool:
    deadline_s = session.tools[step.operation.tool].contract.deadline_s
    elapsed_s = session.desk.clock.monotonic_s() - step.started_s
    return not 0 <= elapsed_s < deadline_s


def _not_now(session: Session, step: StepRecord, reason: str) -> tuple[Acted, str]:
    """Nothing was changed: try again later, until the deadline."""
    if not _is_late(session, step):
        return Acted.AGAIN, reason
    _write_outcome(session, step, "unavailable", detail=reason)
    return Acted.LATE, reason


def _write_intent(session: Session, step: StepRecord) -> None:
    tool = session.tools[step.operation.tool]
    intent = StepIntended(
        key=step.key,
        step=step.number,
        tool=step.operation.tool,
        agent=step.operation.agent,
        arguments=dict(step.operation.arguments),
        undo=tool.contract.undo,
        attempt=step.attempt,
        token=session.lease.token,
        why=_reasons(session, step),
        minutes=step.operation.cost.minutes,
        money=step.operation.cost.money,
        event_time=session.event_time,
    )
    lines: list[Line] = [(kinds.STEP_INTENDED, step.operation.agent, intent)]
    # Used with the intent or not at all: whoever dies around here neither loses the approval nor
    # uses it for a second act.
    if session.approval is not None and session.approval.key == step.key:
        lines.insert(0, (kinds.APPROVAL_USED, "policies", session.approval))
    session.remember(None, lines, incident=step.incident)


def _reasons(session: Session, step: StepRecord) -> Reasons:
    """The newest plan, ruling and diagnosis of the incident: what this act rests on."""
    told = {
        event.kind: event
        for event in session.recorder.journal.events(
            incident=step.incident,
            kinds=[kinds.PLAN_MADE, kinds.GUARD_JUDGED, kinds.DIAGNOSIS_MADE],
        )
    }
    plan, ruling = told.get(kinds.PLAN_MADE), told.get(kinds.GUARD_JUDGED)
    diagnosis = told.get(kinds.DIAGNOSIS_MADE)
    return Reasons(
        plan=plan.id if plan else "",
        ruling=ruling.id if ruling else "",
        evidence=diagnosis.payload.get("evidence_digest", "") if diagnosis else "",
    )


def _write_outcome(
    session: Session,
    step: StepRecord,
    result: Result,
    *,
    detail: str,
    receipt: Receipt | None = None,
) -> None:
    output: dict[str, dict[str, Scalar]] = {}
    lines: list[Line] = []
    if receipt is not None:
        output = {"before": receipt.before, "after": receipt.after}
        if step.operation.tool in _SHIFTING and not receipt.already:
            lines.append(shifted_line(session, receipt.before, receipt.after, step.key))
    outcome = StepOutcome(
        key=step.key, tool=step.operation.tool, result=result, output=output, detail=detail
    )
    lines.insert(0, (kinds.STEP_OUTCOME, step.operation.agent, outcome))
    memory = receipt.memory if receipt is not None else None
    if session.tools[step.operation.tool].contract.changes_production:
        # What differs now is mendloop's own doing: the next look takes the baseline anew.
        memory = (memory or session.memory).model_copy(update={"baseline": None})
    session.remember(memory, lines, incident=step.incident)


def _write_verification(session: Session, step: StepRecord, found: Verification) -> None:
    """Unknown is only written with the memory that it changed: a long wait must not fill the
    journal with the same sentence."""
    verdict = StepVerified(
        key=step.key, tool=step.operation.tool, verdict=found.holds.value, detail=found.detail
    )
    lines: list[Line] = [(kinds.STEP_VERIFIED, step.operation.agent, verdict)]
    if found.figures:
        judged = EvidenceJudged(
            question=step.operation.name,
            verdict=_VERDICTS[found.holds],
            reason=found.detail,
            figures=found.figures,
            event_time=session.event_time,
        )
        lines.append((kinds.EVIDENCE_JUDGED, step.operation.agent, judged))
    if found.holds is Holds.UNKNOWN:
        lines = []
    session.remember(found.memory, lines, incident=step.incident)
