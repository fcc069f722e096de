"""What guardrails may look at: the declared, versioned context of one step at one moment.

In a rule's expressions every field goes by its dotted name, such as ``traffic.next_percent``. A
field that is None is not known; a rule that reads it fails, and a rule that fails denies. A rule
may test another field first: ``history.same_kind == 0 || history.hours_since_same_kind >= 24.0``.
Times are UTC; durations are in hours of event time. The version says what a rule may rely on:
within ``v1`` fields are added, never removed or given another meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import AwareDatetime, model_validator

from policies.context_parts import (
    BudgetContext,
    CalendarContext,
    CandidateContext,
    ContextValue,
    DataContext,
    DiagnosisContext,
    ErrorBudgetContext,
    EvidenceContext,
    FleetContext,
    HistoryContext,
    LadderContext,
    LimitsContext,
    PauseContext,
    PlanContext,
    StepContext,
    TrafficContext,
)
from tools.values import canonical_json

__all__ = [
    "CONTEXT_VERSION",
    "MAX_CONTEXT_BYTES",
    "BudgetContext",
    "CalendarContext",
    "CandidateContext",
    "ContextValue",
    "DataContext",
    "DiagnosisContext",
    "ErrorBudgetContext",
    "EvidenceContext",
    "FleetContext",
    "GuardContext",
    "HistoryContext",
    "LadderContext",
    "LimitsContext",
    "PauseContext",
    "PlanContext",
    "StepContext",
    "TrafficContext",
    "declarations",
    "values_of",
]

CONTEXT_VERSION = "v1"

MAX_CONTEXT_BYTES = 65_536
"""Rules judge figures and names, not data."""


class GuardContext(ContextValue):
    """Everything that a rule may read about one step at one moment."""

    version: Literal["v1"] = "v1"
    """Of this context."""
    stage: Literal["planning", "acting"] = "acting"
    """Before a plan is chosen, or immediately before the act."""
    target: str
    """``namespace/name`` of the served model."""
    incident: str = ""
    """The incident that the step belongs to."""
    now: AwareDatetime
    """Wall clock."""
    event_time: AwareDatetime | None = None
    """Watermark of the prediction log."""
    autonomy: Literal["observe", "propose", "approve", "auto"] | None = None
    """The rung in force: what the document says, or what has been earned of it."""
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
    calendar: CalendarContext = CalendarContext()
    fleet: FleetContext = FleetContext()
    error_budget: ErrorBudgetContext = ErrorBudgetContext()
    limits: LimitsContext = LimitsContext()
    ladder: LadderContext = LadderContext()
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
