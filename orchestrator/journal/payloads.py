"""What each kind of event carries: the shapes on which writers and readers of the journal agree.

Times are ISO 8601 text. ``event_time`` is the time of the data (when a flight departs), never the
wall clock, which every event has anyway.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from orchestrator.journal import kinds
from policies.ruling import Ruling
from tools.values import Value

Json = dict[str, Any]


class Payload(Value):
    """Base of what an event carries. NaN and infinity stay what they are when it is written out,
    so that the journal refuses them; by default they would silently become null."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


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


class WindowObserved(Payload):
    """What ``window.observed`` says."""

    start: str
    end: str
    rows: int
    labelled: int = 0
    event_time: str = ""
    facts: Json = {}


class IncidentOpened(Payload):
    """What ``incident.opened`` says."""

    goal: str = ""
    """The broken goal."""
    concern: str = ""
    """``data`` or ``model``: incidents of one concern queue, of different ones do not."""
    trigger: str
    summary: str
    event_time: str = ""
    facts: Json = {}


class IncidentMerged(Payload):
    """What ``incident.merged`` says."""

    trigger: str
    summary: str = ""
    event_time: str = ""
    facts: Json = {}


class Rival(Value):
    """A cause that was considered and found less likely."""

    cause: str
    confidence: float = 0.0
    reason: str = ""


class DiagnosisMade(Payload):
    """What ``diagnosis.made`` says."""

    cause: str
    confidence: float
    reasons: tuple[str, ...] = ()
    rivals: tuple[Rival, ...] = ()
    facts: Json = {}
    event_time: str = ""


class PlannedStep(Value):
    """One step of a plan, not yet taken."""

    tool: str
    agent: str
    arguments: Json = {}
    cost: float = 0.0


class Rejected(Value):
    """A tool that the plan does without, and why."""

    tool: str
    reason: str


class PlanMade(Payload):
    """What ``plan.made`` says."""

    goal: str
    steps: tuple[PlannedStep, ...]
    runner_up: tuple[PlannedStep, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    cost: float = 0.0
    event_time: str = ""


class PlanFailed(Payload):
    """What ``plan.failed`` says."""

    goal: str
    reason: str
    rejected: tuple[Rejected, ...] = ()
    event_time: str = ""


class GuardJudged(Payload):
    """What ``guard.judged`` says."""

    tool: str
    stage: Literal["planning", "acting"]
    ruling: Ruling
    key: str = ""
    """Idempotency key of the step, once it has one."""
    event_time: str = ""


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


class StepIntended(Payload):
    """What ``step.intended`` says."""

    key: str
    """What the action *is*: tool, target, arguments, incident, attempt."""
    step: int
    """Its place in the plan, from 1."""
    tool: str
    agent: str
    arguments: Json = {}
    undo: str = ""
    """The tool that undoes it, "nothing to undo" or "irreversible"."""
    attempt: int = 1
    token: int = 0
    """Fencing token of the lease under which it acts."""
    event_time: str = ""


class StepOutcome(Payload):
    """What ``step.outcome`` says."""

    key: str
    tool: str
    result: Literal["applied", "already", "refused", "unavailable", "failed"]
    """``already``: the world showed that an earlier attempt had taken effect."""
    output: Json = {}
    detail: str = ""


class StepVerified(Payload):
    """What ``step.verified`` says."""

    key: str
    tool: str
    verdict: Literal["holds", "broken", "unknown"]
    detail: str = ""


class EvidenceJudged(Payload):
    """What ``evidence.judged`` says."""

    question: str
    verdict: Literal["healthy", "harmful", "unknown"]
    reason: str
    figures: dict[str, float] = {}
    event_time: str = ""


class TrafficShifted(Payload):
    """What ``traffic.shifted`` says."""

    route: str
    before: dict[str, int]
    """Percent by version."""
    after: dict[str, int]
    key: str = ""
    reason: str = ""
    event_time: str = ""


class IncidentWaiting(Payload):
    """What ``incident.waiting`` says."""

    reason: str
    until: str = ""
    """Wall clock, if it has an end of its own."""
    event_time: str = ""


class IncidentResumed(Payload):
    """What ``incident.resumed`` says."""

    reason: str = ""
    event_time: str = ""


class IncidentResolved(Payload):
    """What ``incident.resolved`` says."""

    outcome: str
    summary: str = ""
    event_time: str = ""


class IncidentEscalated(Payload):
    """What ``incident.escalated`` says."""

    outcome: str = "escalated"
    summary: str = ""
    event_time: str = ""


class JournalKeyed(Payload):
    """What ``journal.keyed`` says."""

    verifier: str
    """The public key, as in its ``.pub`` file."""


class MemorySaved(Payload):
    """What ``memory.saved`` says."""

    memory: Json
    """``agents.memory.TargetMemory`` as JSON."""


class TargetPaused(Payload):
    """What ``target.paused`` says."""

    by: str
    reason: str


class TargetResumed(Payload):
    """What ``target.resumed`` says."""

    by: str
    reason: str = ""


PAYLOADS: dict[str, type[Payload]] = {
    kinds.CONTROLLER_STARTED: ControllerStarted,
    kinds.CONTROLLER_STOPPED: ControllerStopped,
    kinds.LEASE_ACQUIRED: LeaseAcquired,
    kinds.LEASE_LOST: LeaseLost,
    kinds.WINDOW_OBSERVED: WindowObserved,
    kinds.INCIDENT_OPENED: IncidentOpened,
    kinds.INCIDENT_MERGED: IncidentMerged,
    kinds.DIAGNOSIS_MADE: DiagnosisMade,
    kinds.PLAN_MADE: PlanMade,
    kinds.PLAN_FAILED: PlanFailed,
    kinds.GUARD_JUDGED: GuardJudged,
    kinds.APPROVAL_REQUESTED: ApprovalRequested,
    kinds.APPROVAL_GIVEN: ApprovalGiven,
    kinds.APPROVAL_REJECTED: ApprovalRejected,
    kinds.STEP_INTENDED: StepIntended,
    kinds.STEP_OUTCOME: StepOutcome,
    kinds.STEP_VERIFIED: StepVerified,
    kinds.EVIDENCE_JUDGED: EvidenceJudged,
    kinds.TRAFFIC_SHIFTED: TrafficShifted,
    kinds.INCIDENT_WAITING: IncidentWaiting,
    kinds.INCIDENT_RESUMED: IncidentResumed,
    kinds.INCIDENT_RESOLVED: IncidentResolved,
    kinds.INCIDENT_ESCALATED: IncidentEscalated,
    kinds.JOURNAL_KEYED: JournalKeyed,
    kinds.MEMORY_SAVED: MemorySaved,
    kinds.TARGET_PAUSED: TargetPaused,
    kinds.TARGET_RESUMED: TargetResumed,
}
