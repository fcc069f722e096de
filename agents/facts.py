"""What is believed about a target: typed facts with provenance, and the vocabulary they come from.

The same small vocabulary is used by the tools' contracts, the goals and the guardrails, so what the
planner reasons with is what the executor enforces. A fact that nobody has established reads
UNKNOWN; it never satisfies a condition that asks for something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tools.errors import Invalid
from tools.values import Value

Scalar = str | int | bool
UNKNOWN = "unknown"

DATA_TRUST = "data.trust"
QUARANTINE = "data.quarantine"
INPUTS = "serving.inputs"
TRAINING_DATA = "training.data"
QUALITY = "quality"
CAUSE = "cause"
RETRAINING = "retraining"
REFRESH = "refresh"
CHALLENGER = "challenger"
SHARE = "challenger.percent"
PROVED = "challenger.proved_percent"
CANARY = "canary"
SHADOW = "shadow"
SKEW = "skew"
CHAMPION = "champion"
FORMER = "former"
SERVICE = "service"
SPARES = "servers.spare"
ALERTS = "alerts"

VOCABULARY: dict[str, tuple[type, str]] = {
    DATA_TRUST: (str, "trusted | faulty: whether the newest window's feeds may be believed"),
    QUARANTINE: (str, "none | pending | done: whether every distrusted window is set aside"),
    INPUTS: (str, "raw | fallback: what the servers make of a distrusted feed's columns"),
    TRAINING_DATA: (
        str,
        "none | full | recent: the training data pinned for this incident",
    ),
    QUALITY: (str, "meets | degraded: the served model against its objectives, on matured labels"),
    CAUSE: (str, "the diagnosis (agents/diagnosis.py); 'none' while nobody asked"),
    RETRAINING: (
        str,
        "may_help | cannot_help: whether newer data can cure what labels show (a shift of inputs "
        "alone, or a season that the model itself expected, cannot be cured by training)",
    ),
    REFRESH: (str, "none | due: whether the document's triggers ask for a new challenger"),
    CHALLENGER: (str, "none | registered | ready | refused: how far the challenger has come"),
    SHARE: (int, "percent of the traffic that the route gives to the challenger"),
    PROVED: (int, "highest percent at which this challenger was proved not to harm"),
    CANARY: (str, "none | watching | harmful | undecided: what the present step came to"),
    SHADOW: (
        str,
        "none | watching | passed | harmful | undecided: what the copies of requests came to that "
        "the challenger answers before its first share",
    ),
    SKEW: (str, "none | found: whether serving computes what training computed"),
    CHAMPION: (str, "settled | probation | broken: the champion since its promotion"),
    SPARES: (str, "none | idle: servers that mendloop started and nothing needs any more"),
    FORMER: (str, "none | warm: whether the champion before is still there to switch back to"),
    SERVICE: (
        str,
        "answers | starting | failing | down | slow: what users get of the champion",
    ),
    ALERTS: (
        str,
        "none | firing: what others' alerting says of the target; a reason to look and to hold "
        "back, never one to act: harm that was observed is",
    ),
}


class Fact(Value):
    """One thing believed, who says so, and when."""

    name: str
    value: Scalar
    source: str
    """``agent.tool`` that established it."""
    at: str
    """Wall clock, ISO 8601 UTC."""
    event_time: str = ""
    """Event time that it is about, where it is about one."""


class SharedState(Value):
    """All facts of one target; frozen, ``with_facts`` makes the next one."""

    facts: dict[str, Fact] = {}

    def value(self, name: str) -> Scalar:
        """The fact's value, UNKNOWN when nobody has established it."""
        fact = self.facts.get(name)
        return UNKNOWN if fact is None else fact.value

    def values(self) -> dict[str, Scalar]:
        """Every fact of the vocabulary as a plain mapping, for search and guardrails."""
        return {name: self.value(name) for name in VOCABULARY}

    def with_facts(self, facts: Iterable[Fact]) -> SharedState:
        """The state after ``facts`` became known; refuses names outside the vocabulary."""
        merged = dict(self.facts)
        for fact in facts:
            check_vocabulary(fact.name, fact.value)
            merged[fact.name] = fact
        return SharedState(facts=merged)

    def changes_since(self, before: SharedState) -> dict[str, Scalar]:
        """Facts whose value differs from ``before``."""
        return {n: v for n, v in self.values().items() if before.value(n) != v}


def check_vocabulary(name: str, value: Scalar) -> None:
    """Raise Invalid when a fact is not in the vocabulary or has another type."""
    entry = VOCABULARY.get(name)
    if entry is None:
        raise Invalid(f"unknown fact; one of {', '.join(VOCABULARY)} was expected", field=name)
    if value != UNKNOWN and type(value) is not entry[0]:
        raise Invalid(f"expected {entry[0].__name__}, got {value!r}", field=name)


def facts_from(values: Mapping[str, Scalar], *, source: str, at: str) -> tuple[Fact, ...]:
    """Facts with one provenance."""
    return tuple(Fact(name=n, value=v, source=source, at=at) for n, v in sorted(values.items()))
