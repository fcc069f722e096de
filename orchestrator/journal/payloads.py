"""What each kind of event carries: the shapes on which writers and readers of the journal agree.

Those about running mendloop itself stand in ``operations.py`` and are exported from here too.

Times are ISO 8601 text. ``event_time`` is the time of the data (when a flight departs), never the
wall clock, which every event has anyway.
"""

from __future__ import annotations

from typing import Literal

from orchestrator.journal import kinds
from orchestrator.journal.operations import (
    ApprovalGiven,
    ApprovalRejected,
    ApprovalRequested,
    ControllerStarted,
    ControllerStopped,
    JournalKeyed,
    LeaseAcquired,
    LeaseLost,
    TargetPaused,
    TargetResumed,
)
from orchestrator.journal.shape import Json, Payload
from policies.ruling import Ruling
from tools.values import Value

__all__ = [
    "PAYLOADS",
    "ApprovalGiven",
    "ApprovalRejected",
    "ApprovalRequested",
    "ControllerStarted",
    "ControllerStopped",
    "DiagnosisMade",
    "EvidenceJudged",
    "GuardJudged",
    "IncidentEscalated",
    "IncidentMerged",
    "IncidentOpened",
    "IncidentResolved",
    "IncidentResumed",
    "IncidentWaiting",
    "JournalKeyed",
    "LeaseAcquired",
    "LeaseLost",
    "MemorySaved",
    "PlanFailed",
    "PlanMade",
    "PlannedStep",
    "Rejected",
    "Rival",
    "StepIntended",
    "StepOutcome",
    "StepVerified",
    "TargetPaused",
    "TargetResumed",
    "TrafficShifted",
    "WindowObserved",
]


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


class MemorySaved(Payload):
    """What ``memory.saved`` says."""

    memory: Json
    """``agents.memory.TargetMemory`` as JSON."""


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
