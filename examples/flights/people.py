"""What rules and people had to say in a demo run, from its journal."""

from __future__ import annotations

from collections.abc import Sequence

from examples.flights.outcome import ApprovalTold, DenialTold
from orchestrator.approvals import fold_approvals
from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.payloads import GuardJudged, StepIntended
from policies.ruling import Decision


def tell_approvals(events: Sequence[Event]) -> tuple[ApprovalTold, ...]:
    """Every question to a person, oldest first."""
    asked_at = {e.payload["approval"]: e.at for e in events if e.kind == kinds.APPROVAL_REQUESTED}
    answered_at = {
        e.payload["approval"]: e.at
        for e in events
        if e.kind in (kinds.APPROVAL_GIVEN, kinds.APPROVAL_REJECTED)
    }
    return tuple(
        ApprovalTold(
            approval=standing.approval,
            incident=standing.incident,
            tool=standing.request.tool,
            reasons=standing.request.reasons,
            status=standing.status,
            by=standing.by,
            asked_at=asked_at[standing.approval],
            answered_at=answered_at.get(standing.approval, ""),
            event_time=standing.request.event_time,
        )
        for standing in fold_approvals(events)
    )


def tell_denials(events: Sequence[Event]) -> tuple[DenialTold, ...]:
    """Every denial that held a step up, once per incident, step and policy."""
    found: dict[tuple[str, str, str], DenialTold] = {}
    for event in events:
        if event.kind == kinds.GUARD_JUDGED:
            for denial in _denials(event):
                found.setdefault((denial.incident, denial.tool, denial.policy), denial)
        elif event.kind == kinds.STEP_INTENDED:
            step = event.read(StepIntended)
            for key, denial in found.items():
                if key[:2] == (event.incident, step.tool) and not denial.allowed_event_time:
                    found[key] = denial.model_copy(update={"allowed_event_time": step.event_time})
    return tuple(found.values())


def _denials(event: Event) -> list[DenialTold]:
    judged = event.read(GuardJudged)
    if judged.ruling.decision is not Decision.DENY:
        return []
    return [
        DenialTold(
            incident=event.incident,
            tool=judged.tool,
            policy=verdict.policy,
            reason=verdict.message,
            at=event.at,
            event_time=judged.event_time,
        )
        for verdict in judged.ruling.verdicts
        if verdict.action == "Deny" and verdict.result == "violated"
    ]
