"""What the events about deciding carry: diagnosis, plans, rulings and judgements of evidence."""

from __future__ import annotations

from typing import Literal

from orchestrator.journal.shape import Json, Payload
from policies.ruling import Ruling
from tools.values import Value


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
    evidence: Json = {}
    """``agents.evidence.Evidence`` as JSON: everything that was weighed."""
    evidence_digest: str = ""
    """SHA-256 of its canonical JSON."""
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


class PlanInputs(Value):
    """What the search started from; with the tools' contracts it determines the plan."""

    facts: Json
    ruled_out: dict[str, str] = {}
    """Operation -> why it might not be used: a guardrail, or an attempt that failed."""
    model: str
    """Digest of the document in force, as in ``model.managed``."""


class PlanMade(Payload):
    """What ``plan.made`` says."""

    goal: str
    steps: tuple[PlannedStep, ...]
    runner_up: tuple[PlannedStep, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    cost: float = 0.0
    inputs: PlanInputs | None = None
    event_time: str = ""


class PlanFailed(Payload):
    """What ``plan.failed`` says."""

    goal: str
    reason: str
    missing: tuple[str, ...] = ()
    """Conditions of the goal that nothing brings about."""
    rejected: tuple[Rejected, ...] = ()
    inputs: PlanInputs | None = None
    """None where nothing was searched for: a pause forbade it."""
    event_time: str = ""


class GuardJudged(Payload):
    """What ``guard.judged`` says."""

    tool: str
    stage: Literal["planning", "acting"]
    ruling: Ruling
    key: str = ""
    """Idempotency key of the step, once it has one."""
    event_time: str = ""
    policies: str = ""
    """Digest of the rules in force."""
    context: Json = {}
    """``policies.context.GuardContext`` as JSON, without the values that were not known: all that
    the rules could read."""


class EvidenceJudged(Payload):
    """What ``evidence.judged`` says."""

    question: str
    verdict: Literal["healthy", "harmful", "unknown"]
    reason: str
    figures: dict[str, float] = {}
    event_time: str = ""
