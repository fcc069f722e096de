"""What the events about running mendloop carry: controllers, leases, approvals, pauses, keys."""

from __future__ import annotations

from orchestrator.journal.shape import Json, Payload


class ControllerStarted(Payload):
    """What ``controller.started`` says."""

    holder: str
    version: str = ""
    recovered: tuple[str, ...] = ()
    """Incidents found open, which this controller takes over."""


class ControllerStopped(Payload):
    """What ``controller.stopped`` says."""

    holder: str
    reason: str = ""


class LeaseAcquired(Payload):
    """What ``lease.acquired`` says."""

    holder: str
    token: int


class LeaseLost(Payload):
    """What ``lease.lost`` says."""

    holder: str
    token: int
    reason: str = ""


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


class JournalKeyed(Payload):
    """What ``journal.keyed`` says."""

    verifier: str
    """The public key, as in its ``.pub`` file."""


class TargetPaused(Payload):
    """What ``target.paused`` says."""

    by: str
    reason: str


class TargetResumed(Payload):
    """What ``target.resumed`` says."""

    by: str
    reason: str = ""
