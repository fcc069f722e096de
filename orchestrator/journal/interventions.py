"""What the events carry in which a person has a say: approvals, pauses, take-overs."""

from __future__ import annotations

from orchestrator.journal import kinds
from orchestrator.journal.shape import Json, Payload


class ApprovalRequested(Payload):
    """What ``approval.requested`` says."""

    approval: str
    """Name under which it is approved or rejected."""
    tool: str
    arguments: Json
    reasons: tuple[str, ...]
    digest: str
    """SHA-256 over the exact arguments and facts that the approval will be good for."""
    expires_at: str = ""
    key: str = ""
    """Idempotency key of the step that waits."""
    bound: Json = {}
    """What ``digest`` was made from: the approval is good while all of it is true."""
    replaces: str = ""
    """The request before, that the world outran or that nobody answered."""
    changed: tuple[str, ...] = ()
    """What is different from the request before."""
    contact: str = ""
    """Whom the document names for questions like this one."""
    event_time: str = ""


class ApprovalGiven(Payload):
    """What ``approval.given`` says."""

    approval: str
    by: str
    digest: str


class ApprovalRejected(Payload):
    """What ``approval.rejected`` says."""

    approval: str
    by: str
    reason: str = ""


class ApprovalUsed(Payload):
    """What ``approval.used`` says; written together with the intent of the step it was for."""

    approval: str
    by: str
    """Who had given it."""
    key: str
    digest: str


class ApprovalInvalidated(Payload):
    """What ``approval.invalidated`` says."""

    approval: str
    changed: tuple[str, ...]
    """What is no longer as it was when the request was made."""


class ApprovalExpired(Payload):
    """What ``approval.expired`` says: nobody answered in time."""

    approval: str
    tool: str
    contact: str = ""
    then: str = ""
    """What happens now: ``undo``, ``wait`` or ``escalate``, as the document says."""


class TargetPaused(Payload):
    """What ``target.paused`` says."""

    by: str
    reason: str
    in_flight: str = "hold"
    """``hold``: changes under way stop where they are; ``go-back``: they are taken back."""


class TargetResumed(Payload):
    """What ``target.resumed`` says."""

    by: str
    reason: str = ""


class TargetTakenOver(Payload):
    """What ``target.taken_over`` says: from here on mendloop changes nothing on the target."""

    by: str = ""
    """Who announced it; empty when mendloop found it out."""
    reason: str = ""
    seen: tuple[str, ...] = ()
    """What somebody else had changed, as mendloop found it."""


class TargetHandedBack(Payload):
    """What ``target.handed_back`` says."""

    by: str
    reason: str = ""


class PredictionsPruned(Payload):
    """What ``predictions.pruned`` says."""

    by: str
    before: str
    """Event time: rows from before it, and their labels, go."""
    rows: int
    labels: int
    """As counted before the first one went."""
    reason: str = ""


class BaselineAccepted(Payload):
    """What ``baseline.accepted`` says: the state that counts as mendloop's own from here on."""

    found: Json
    """Split, aliases and configurations as they were."""
    notes: tuple[str, ...] = ()
    """What follows from it for work that had been under way."""


INTERVENTIONS: dict[str, type[Payload]] = {
    kinds.APPROVAL_REQUESTED: ApprovalRequested,
    kinds.APPROVAL_GIVEN: ApprovalGiven,
    kinds.APPROVAL_REJECTED: ApprovalRejected,
    kinds.APPROVAL_USED: ApprovalUsed,
    kinds.APPROVAL_INVALIDATED: ApprovalInvalidated,
    kinds.APPROVAL_EXPIRED: ApprovalExpired,
    kinds.TARGET_PAUSED: TargetPaused,
    kinds.TARGET_RESUMED: TargetResumed,
    kinds.TARGET_TAKEN_OVER: TargetTakenOver,
    kinds.TARGET_HANDED_BACK: TargetHandedBack,
    kinds.PREDICTIONS_PRUNED: PredictionsPruned,
    kinds.BASELINE_ACCEPTED: BaselineAccepted,
}
