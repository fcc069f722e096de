"""What guardrails may look at: the declared, versioned context of one step at one moment.

In a rule's expressions every field goes by its dotted name, such as ``traffic.next_percent``. A
field that is None is not known; a rule that reads it fails, and a rule that fails denies. A rule
may test another field first: ``history.same_kind == 0 || history.hours_since_same_kind >= 24.0``.
Times are UTC; durations are in hours of event time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import AwareDatetime, ConfigDict, model_validator

from tools.values import Value, canonical_json

CONTEXT_VERSION = "v1"

MAX_CONTEXT_BYTES = 65_536
"""Rules judge figures and names, not data."""


class ContextValue(Value):
    """Part of the context. NaN and infinity are refused: every comparison with NaN is false, so
    that a rule written with ``!`` would pass."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StepContext(ContextValue):
    """The step that asks for permission."""

    tool: str
    agent: str
    arguments: dict[str, Any] = {}
    changes_production: bool | None = None
    """Whether it changes what is served or what it is served with."""
    is_safe_return: bool | None = None
    """Leads back to a safe state (an undo): budgets, cool-downs, freezes do not hold it up."""
    risk: float | None = None
    """Share of traffic or data that it can touch, 0 to 1."""
    cost_minutes: float | None = None
    attempt: int | None = None


class PlanContext(ContextValue):
    """The plan that the step belongs to."""

    goal: str | None = None
    tools: tuple[str, ...] | None = None
    cost: float | None = None


class DiagnosisContext(ContextValue):
    """What the incident is believed to come from."""

    cause: str | None = None
    confidence: float | None = None


class EvidenceContext(ContextValue):
    """The latest verdicts, by question: healthy, harmful or unknown."""

    verdicts: dict[str, str] | None = None


class DataContext(ContextValue):
    """Whether what the model is trained on and fed with may be believed."""

    trusted: bool | None = None
    distrusted_feeds: tuple[str, ...] | None = None


class TrafficContext(ContextValue):
    """Where requests go now and after the step."""

    split: dict[str, int] | None = None
    """Percent by version."""
    current_percent: int | None = None
    """The candidate's share now."""
    next_percent: int | None = None
    """The candidate's share after the step."""
    allowed_percent: int | None = None
    """The most that the evidence so far and the rollout's steps allow."""


class CandidateContext(ContextValue):
    """The version that would get (more) traffic."""

    version: str | None = None
    gates_passed: bool | None = None
    digest_matches: bool | None = None
    """Its artifact is the one that the registry knows."""
    ready: bool | None = None
    """Its server says so, just now."""


class BudgetContext(ContextValue):
    """What was used up, and what there is, per budget period of the target."""

    retrains: int | None = None
    max_retrains: int | None = None


class HistoryContext(ContextValue):
    """What was done to the target before, in event time."""

    same_kind: int | None = None
    """How many steps of this kind were completed, ever, outside this incident."""
    hours_since_same_kind: float | None = None
    cool_down_hours: float | None = None


class PauseContext(ContextValue):
    """The kill switch and the pause of the target, read just before."""

    active: bool | None = None
    allows_safe_return: bool = False
    """Whoever paused said that mendloop may still go back to the safe state."""
    by: str = ""
    reason: str = ""


class GuardContext(ContextValue):
    """Everything that a rule may read about one step at one moment."""

    version: Literal["v1"] = "v1"
    stage: Literal["planning", "acting"] = "acting"
    """Before a plan is chosen, or immediately before the act."""
    target: str
    incident: str = ""
    now: AwareDatetime
    event_time: AwareDatetime | None = None
    autonomy: Literal["observe", "propose", "approve", "auto"] | None = None
    approved: bool = False
    """A person approved exactly this step; the ruling then counts approval as given."""
    facts: dict[str, Any] = {}
    """The target's facts in the vocabulary of the planner: ``facts['data.trust']``."""
    step: StepContext
    plan: PlanContext = PlanContext()
    diagnosis: DiagnosisContext = DiagnosisContext()
    evidence: EvidenceContext = EvidenceContext()
    data: DataContext = DataContext()
    traffic: TrafficContext = TrafficContext()
    candidate: CandidateContext = CandidateContext()
    budget: BudgetContext = BudgetContext()
    history: HistoryContext = HistoryContext()
    pause: PauseContext = PauseContext()

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        canonical_json([self.facts, self.step.arguments])  # No NaN inside what is not typed.
        size = len(canonical_json(self.model_dump(mode="json")).encode())
        if size > MAX_CONTEXT_BYTES:
            raise ValueError(f"{size} bytes; rules take a context of at most {MAX_CONTEXT_BYTES}")
        return self


def values_of(context: GuardContext) -> dict[str, Any]:
    """The known fields by dotted name; lists as lists, times as they are."""
    return dict(_known(context, ""))


def _known(value: ContextValue, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in type(value).model_fields:
        field = getattr(value, name)
        if isinstance(field, ContextValue):
            yield from _known(field, f"{prefix}{name}.")
        elif field is not None:
            yield f"{prefix}{name}", list(field) if isinstance(field, tuple) else field


def declarations() -> Mapping[str, str]:
    """Every dotted name with its CEL type: ``{"traffic.next_percent": "int", ...}``."""
    return dict(_declared(GuardContext, ""))


_SCALARS: dict[Any, str] = {
    str: "string",
    bool: "bool",
    int: "int",
    float: "double",
    AwareDatetime: "timestamp",
}


def _declared(model: type[ContextValue], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, ContextValue):
            yield from _declared(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _cel_type(kind)


def _cel_type(kind: Any) -> str:
    """The CEL type of a field's annotation; None in a union only says that it may be unknown."""
    if kind is Any:
        return "dyn"
    if kind in _SCALARS:
        return _SCALARS[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _cel_type(arguments[0])
    if origin is Literal:
        return _cel_type(type(arguments[0]))
    if origin in (Union, UnionType):
        return _cel_type(next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        return f"list({_cel_type(arguments[0])})"
    assert origin is dict, f"no CEL type for {kind}"
    return f"map(string, {_cel_type(arguments[1])})"
