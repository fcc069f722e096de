"""A person's yes or no to exactly one step: asked for and answered in the journal.

An approval is good for one digest (see ``approval_terms``), once, until it expires. Where a request
stands is a fold over its events in the journal's order, so the first answer counts whoever wrote it
and from which process; whoever comes second is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.interventions import (
    ApprovalGiven,
    ApprovalRejected,
    ApprovalRequested,
)
from orchestrator.journal.journal import Journal
from tools.clock import Clock
from tools.errors import Invalid, Refused
from tools.values import Value

Status = Literal["pending", "given", "rejected", "expired", "invalidated", "used"]

APPROVAL_KINDS = (
    kinds.APPROVAL_REQUESTED,
    kinds.APPROVAL_GIVEN,
    kinds.APPROVAL_REJECTED,
    kinds.APPROVAL_EXPIRED,
    kinds.APPROVAL_INVALIDATED,
    kinds.APPROVAL_USED,
)
NEXT: dict[tuple[Status, str], Status] = {
    ("pending", kinds.APPROVAL_GIVEN): "given",
    ("pending", kinds.APPROVAL_REJECTED): "rejected",
    ("pending", kinds.APPROVAL_EXPIRED): "expired",
    ("pending", kinds.APPROVAL_INVALIDATED): "invalidated",
    ("given", kinds.APPROVAL_INVALIDATED): "invalidated",
    ("given", kinds.APPROVAL_USED): "used",
}
"""The whole life of a request; an event that is not here came too late and changes nothing."""

_ENDS = (kinds.INCIDENT_RESOLVED, kinds.INCIDENT_ESCALATED)
_WORDS: dict[Status, str] = {
    "pending": "waiting",
    "given": "approved",
    "rejected": "rejected",
    "expired": "over, nobody answered in time",
    "invalidated": "good no more, the world changed",
    "used": "approved and used",
}


class Standing(Value):
    """Where one request stands."""

    request: ApprovalRequested
    target: str
    incident: str
    status: Status = "pending"
    by: str = ""
    """Who answered."""
    at: str = ""
    """When it got this status; for a waiting one, when it was asked."""
    reason: str = ""

    @property
    def approval(self) -> str:
        """The name under which it is answered."""
        return self.request.approval

    def is_over(self, now: datetime) -> bool:
        """Whether its time has passed, whatever was answered."""
        until = self.request.expires_at
        return bool(until) and now >= datetime.fromisoformat(until)

    def told(self) -> str:
        """In words: what, by whom, when."""
        who = f" by {self.by}" if self.by else ""
        why = f": {self.reason}" if self.reason else ""
        return f"{_WORDS[self.status]}{who} at {self.at[:19]}{why}"


def fold_approvals(events: Iterable[Event]) -> list[Standing]:
    """Every request of ``events`` (in the journal's order), oldest first."""
    found: dict[str, Standing] = {}
    for event in events:
        if event.kind == kinds.APPROVAL_REQUESTED:
            asked = event.read(ApprovalRequested)
            standing = Standing(
                request=asked, target=event.target, incident=event.incident, at=event.at
            )
            found.setdefault(asked.approval, standing)
        elif event.kind in APPROVAL_KINDS and event.payload["approval"] in found:
            name = event.payload["approval"]
            found[name] = followed_by(found[name], event)
    return list(found.values())


def find(journal: Journal, approval: str) -> Standing | None:
    """Where the request stands; None when there is no such request."""
    events = journal.events(kinds=APPROVAL_KINDS)
    return next((s for s in fold_approvals(events) if s.approval == approval), None)


def answer(
    journal: Journal, clock: Clock, approval: str, *, by: str, approve: bool, reason: str = ""
) -> Standing:
    """Write a person's answer. Raises Invalid for an unknown request, Refused for a late one.

    Two people may answer at the same moment: both answers are on record, the first counts, and
    whoever's does not is told so.
    """
    standing = find(journal, approval)
    if standing is None:
        raise Invalid(
            f"there is no request {approval!r}; `mendloop incidents` lists what waits",
            field="approval",
        )
    if standing.status != "pending":
        raise _too_late(journal, standing)
    if standing.is_over(clock.now()):
        raise Refused(f"too late: request {approval} expired at {standing.request.expires_at}")
    if journal.events(incident=standing.incident, kinds=_ENDS):
        raise Refused(f"too late: {standing.incident}, which asked {approval}, is over")
    asked = standing.request
    payload: Value = (
        ApprovalGiven(approval=approval, by=by, digest=asked.digest)
        if approve
        else ApprovalRejected(approval=approval, by=by, reason=reason)
    )
    written = journal.append(
        kinds.APPROVAL_GIVEN if approve else kinds.APPROVAL_REJECTED,
        at=clock.now(),
        actor=by,
        payload=payload,
        target=standing.target,
        incident=standing.incident,
    )
    until_now = journal.events(
        incident=standing.incident, kinds=APPROVAL_KINDS, until=written.seq - 1
    )
    before = next(s for s in fold_approvals(until_now) if s.approval == approval)
    if before.status != "pending":
        raise _too_late(journal, before)
    return followed_by(before, written)


def followed_by(standing: Standing, event: Event) -> Standing:
    """Where it stands after one more of its events."""
    given_for = event.payload.get("digest", standing.request.digest)
    status = NEXT.get((standing.status, event.kind))
    if status is None or given_for != standing.request.digest:
        return standing
    change: dict[str, Any] = {"status": status, "at": event.at}
    if event.kind in (kinds.APPROVAL_GIVEN, kinds.APPROVAL_REJECTED):
        change["by"] = event.payload["by"]
    if event.kind == kinds.APPROVAL_REJECTED:
        change["reason"] = event.payload["reason"]
    if event.kind == kinds.APPROVAL_INVALIDATED:
        change["reason"] = "; ".join(event.payload["changed"])
    return standing.model_copy(update=change)


def _too_late(journal: Journal, standing: Standing) -> Refused:
    newer = [
        s.approval
        for s in fold_approvals(journal.events(incident=standing.incident, kinds=APPROVAL_KINDS))
        if s.request.replaces == standing.approval
    ]
    instead = f"; it was asked again as {newer[-1]}" if newer else ""
    return Refused(f"too late: request {standing.approval} is {standing.told()}{instead}")
