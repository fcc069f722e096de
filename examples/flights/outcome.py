"""What a demo run came to: the document behind ``--report``, the summary and the HTML page.

Wall-clock times are ISO 8601 in UTC; event times are ISO 8601 without a zone, as in the log.
"""

from __future__ import annotations

from tools.registry import GateResult
from tools.values import Value


class ActionTaken(Value):
    """One thing that mendloop did within an incident."""

    tool: str
    outcome: str
    started: str
    finished: str
    detail: str = ""


class IncidentTold(Value):
    """One incident from trigger to end."""

    id: str
    trigger: str
    diagnosis: str
    actions: tuple[ActionTaken, ...]
    outcome: str
    detected_at: str
    resolved_at: str
    event_time: str = ""
    """Time of the data at which it was detected."""
    resolved_event_time: str = ""


class VersionServed(Value):
    """One registered version: where it came from, what it proved, when it answered."""

    version: str
    data_digest: str
    artifact_digest: str
    gates: tuple[GateResult, ...]
    served_from: str = ""
    """Event time of the first and the last request that it answered; empty when it never did."""
    served_until: str = ""
    answers: int = 0
    failures: int = 0
    is_bad_release: bool = False


class TrafficPoint(Value):
    """One stretch of the replay: what the route asked for and what users met."""

    event_time: str
    requests: int
    weights: dict[str, float]
    """Percent by version that the route said, averaged over the stretch's requests."""
    observed: dict[str, float]
    """Percent by version that answered."""


class Requests(Value):
    """Every request of the replay, as the client saw it. Clients never retried."""

    total: int
    answered: int
    failed_by_bad_release: int
    """Not answered with 200 by the version that a colleague broke."""
    failed_otherwise: int
    met_bad_release: int
    """Requests that reached it, answered or not."""
    p50_ms: float
    p99_ms: float
    failures: dict[str, int] = {}
    """Failures by ``status version``."""


class Crash(Value):
    """The controller's death in the middle of a canary, and what its successor did."""

    killed_at: str = ""
    resumed_at: str = ""
    """First event of the journal that the new controller wrote about the target."""
    unwatched_s: float | None = None
    """Between the two, while nobody watched the split."""
    split_when_killed: dict[str, int] = {}
    duplicated_effects: int = 0
    event_time: str = ""


class ApprovalTold(Value):
    """One question to a person, and what became of it."""

    approval: str
    incident: str
    tool: str
    reasons: tuple[str, ...]
    status: str
    """``used`` when the step it was good for was carried out."""
    by: str
    asked_at: str
    answered_at: str = ""
    event_time: str = ""
    """Time of the data at which it was asked."""


class DenialTold(Value):
    """One step that a guardrail forbade."""

    incident: str
    tool: str
    policy: str
    reason: str
    at: str
    event_time: str
    allowed_event_time: str = ""
    """Time of the data at which the incident took such a step after all; empty: it never did."""


class Figures(Value):
    """How good probabilities were on rows whose label is known."""

    log_loss: float
    roc_auc: float | None
    """None where it is not defined: one class only, or a constant."""
    accuracy: float


class MonthQuality(Value):
    """One month (or the whole replay): three ways to answer the same labelled requests."""

    month: str
    """YYYY-MM; ``all`` for the whole."""
    rows: int
    served: Figures
    never_retrained: Figures
    majority: Figures


class Quality(Value):
    """Month by month, and over all of them."""

    months: tuple[MonthQuality, ...]
    total: MonthQuality
    without_fault: MonthQuality
    """All but the days on which the weather feed was broken: retraining alone."""


class JournalState(Value):
    """The journal after the run, verified from its first event."""

    events: int
    verified: bool
    reason: str = ""


class Outcome(Value):
    """Everything that the demo measured."""

    incidents: tuple[IncidentTold, ...]
    versions: tuple[VersionServed, ...]
    traffic: tuple[TrafficPoint, ...]
    requests: Requests
    crash: Crash
    quality: Quality
    journal: JournalState
    approvals: tuple[ApprovalTold, ...] = ()
    denials: tuple[DenialTold, ...] = ()
    wall_s: float
