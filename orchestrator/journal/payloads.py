"""What each kind of event carries: the shapes on which writers and readers of the journal agree.

Those about deciding stand in ``decisions.py``, about acting in ``acts.py``, about running mendloop
itself in ``operations.py``, those in which a person has a say in ``interventions.py``, those about
the rules in ``governance.py``; all are exported from here too.

Times are ISO 8601 text. ``event_time`` is the time of the data (when a flight departs), never the
wall clock, which every event has anyway.
"""

from __future__ import annotations

from orchestrator.journal import kinds
from orchestrator.journal.acts import (
    Reasons,
    StepIntended,
    StepOutcome,
    StepVerified,
    TrafficShifted,
)
from orchestrator.journal.decisions import (
    DiagnosisMade,
    EvidenceJudged,
    GuardJudged,
    PlanFailed,
    PlanInputs,
    PlanMade,
    PlannedStep,
    Rejected,
    Rival,
)
from orchestrator.journal.governance import (
    GOVERNANCE,
    AutonomyChanged,
    ModelsFollowed,
    ModelsRejected,
    PoliciesLoaded,
    PoliciesRejected,
)
from orchestrator.journal.interventions import (
    INTERVENTIONS,
    ApprovalGiven,
    ApprovalRejected,
    ApprovalRequested,
    TargetPaused,
    TargetResumed,
)
from orchestrator.journal.operations import (
    ControllerStarted,
    ControllerStopped,
    JournalKeyed,
    JournalPruned,
    JournalSealed,
    LeaseAcquired,
    LeaseLost,
)
from orchestrator.journal.shape import Json, Payload

__all__ = [
    "PAYLOADS",
    "ApprovalGiven",
    "ApprovalRejected",
    "ApprovalRequested",
    "AutonomyChanged",
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
    "JournalPruned",
    "JournalSealed",
    "LeaseAcquired",
    "LeaseLost",
    "MemorySaved",
    "ModelManaged",
    "ModelsFollowed",
    "ModelsRejected",
    "PlanFailed",
    "PlanInputs",
    "PlanMade",
    "PlannedStep",
    "PoliciesLoaded",
    "PoliciesRejected",
    "Reasons",
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


class AlertTold(Payload):
    """What ``alert.fired`` and ``alert.resolved`` say."""

    fingerprint: str
    name: str
    severity: str = ""
    summary: str = ""
    starts_at: str = ""
    """By the clock of whoever raised it."""


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


class ModelManaged(Payload):
    """What ``model.managed`` says."""

    digest: str
    """SHA-256 of the document's canonical JSON."""
    document: Json
    """``ManagedModel`` as JSON."""


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
    kinds.ALERT_FIRED: AlertTold,
    kinds.ALERT_RESOLVED: AlertTold,
    kinds.INCIDENT_OPENED: IncidentOpened,
    kinds.INCIDENT_MERGED: IncidentMerged,
    kinds.DIAGNOSIS_MADE: DiagnosisMade,
    kinds.PLAN_MADE: PlanMade,
    kinds.PLAN_FAILED: PlanFailed,
    kinds.GUARD_JUDGED: GuardJudged,
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
    kinds.JOURNAL_PRUNED: JournalPruned,
    kinds.JOURNAL_SEALED: JournalSealed,
    kinds.MODEL_MANAGED: ModelManaged,
    kinds.MEMORY_SAVED: MemorySaved,
    **INTERVENTIONS,
    **GOVERNANCE,
}
