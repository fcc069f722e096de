"""The parts of what guardrails may look at, field by field; None says that it is not known."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, ConfigDict

from tools.values import Value


class ContextValue(Value):
    """Part of the context. NaN and infinity are refused: every comparison with NaN is false, so
    that a rule written with ``!`` would pass."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class StepContext(ContextValue):
    """The step that asks for permission."""

    tool: str
    """Name of the tool, such as ``start_canary``."""
    agent: str
    """The specialist that owns the tool."""
    arguments: dict[str, Any] = {}
    """What the tool is called with: ``step.arguments['percent']``."""
    changes_production: bool | None = None
    """Whether it changes what is served or what it is served with."""
    is_safe_return: bool | None = None
    """Leads back to a safe state (an undo): budgets, cool-downs, freezes do not hold it up."""
    takes_back_own: bool | None = None
    """It is the undo of a step that mendloop itself took on this target and has not taken back."""
    undo: str | None = None
    """The tool that takes it back, "nothing to undo" or "irreversible"."""
    risk: float | None = None
    """Share of traffic or data that it can touch, 0 to 1."""
    risks: tuple[str, ...] | None = None
    """Its risks by name: ``irreversible``, ``most-traffic`` (more than half of the requests),
    ``all-traffic``, ``gives-up-way-back`` (afterwards the former version is gone), ``trains``."""
    cost_minutes: float | None = None
    """How long it is expected to take."""
    cost_money: float | None = None
    """Compute that it is expected to use, in minutes of one CPU node."""
    attempt: int | None = None
    """1 for the first try of this step in its incident."""


class PlanContext(ContextValue):
    """The plan that the step belongs to."""

    goal: str | None = None
    """What the incident is to bring about."""
    tools: tuple[str, ...] | None = None
    """Names of the plan's steps from here on, this one first."""
    cost: float | None = None
    """What they cost together, in the planner's minutes."""


class DiagnosisContext(ContextValue):
    """What the incident is believed to come from."""

    cause: str | None = None
    """Such as ``concept_drift``; not known before the monitor was asked."""
    confidence: float | None = None
    """0 to 1."""


class EvidenceContext(ContextValue):
    """What has been measured of the target so far."""

    verdicts: dict[str, str] | None = None
    """healthy, harmful or unknown, by question: ``quality.loss`` (above its reference),
    ``quality.excess`` (above what the model itself expects), ``canary`` and ``probation`` (while
    there is one)."""
    loss: float | None = None
    """Mean log loss of the recent matured windows."""
    excess: float | None = None
    """Mean loss above the model's own expectation, of the same rows."""
    label_rate: float | None = None
    """Share of the matured rows that have a label."""
    windows: int | None = None
    """Matured windows that have been counted for the version that serves."""
    judged_until: AwareDatetime | None = None
    """Event time up to which labels were counted."""
    digest: str | None = None
    """SHA-256 over the state of the evidence: the same digest, the same evidence."""


class DataContext(ContextValue):
    """Whether what the model is trained on and fed with may be believed."""

    trusted: bool | None = None
    """No feed is distrusted now."""
    distrusted_feeds: tuple[str, ...] | None = None
    """Names of those that are."""


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
    """In the model registry."""
    gates_passed: bool | None = None
    """All of them, when it was registered."""
    was_sent_back: bool | None = None
    """It was tried on traffic before and had to leave."""
    digest_matches: bool | None = None
    """Its artifact is the one that the registry knows."""
    ready: bool | None = None
    """Its server says so, just now."""


class BudgetContext(ContextValue):
    """What was used up, and what there is, per budget period of the target."""

    retrains: int | None = None
    """Retrainings begun in the period."""
    max_retrains: int | None = None
    """spec.guardrails.maxRetrains."""
    spent: dict[str, float] | None = None
    """``changes`` (steps that change production), ``minutes`` (expected duration of all steps) and
    ``money`` (expected compute, in minutes of one CPU node); safe returns are left out."""
    limits: dict[str, float] | None = None
    """The limits of spec.guardrails.budget by the same names; one that is not set is not there."""


class HistoryContext(ContextValue):
    """What was done to the target before, in event time."""

    same_kind: int | None = None
    """How many steps of this kind were completed, ever, outside this incident."""
    hours_since_same_kind: float | None = None
    """Since the last of them began."""
    evidence_hours_since_same_kind: float | None = None
    """Matured event time that was judged and lies after the beginning of the last of them; nothing
    new is known of what it did while this is not above 0."""
    cool_down_hours: float | None = None
    """spec.guardrails.coolDown."""
    reversals: int | None = None
    """How often traffic had to be taken back from a version in the budget period."""


class CalendarContext(ContextValue):
    """What day it is where people are, and what is announced for it (wall clock)."""

    time_zone: str | None = None
    """IANA name, spec.guardrails.timeZone; the local fields below are in it."""
    local_time: str | None = None
    """ISO 8601 with the offset in force, daylight saving included."""
    weekday: str | None = None
    """``monday`` to ``sunday``."""
    hour: int | None = None
    """0 to 23."""
    freezes: tuple[str, ...] | None = None
    """Freeze windows in force now, ``calendar: window``."""
    frozen_until: AwareDatetime | None = None
    """When the last of them ends; known only while there is one."""
    holidays: tuple[str, ...] | None = None
    """Holidays that today is, ``calendar: holiday``."""


class FleetContext(ContextValue):
    """The other targets of this controller."""

    targets: int | None = None
    """How many it has, this one included."""
    changing: tuple[str, ...] | None = None
    """Other targets whose traffic is being moved from one version to another now."""
    traffic_percent: float | None = None
    """Share of the fleet's traffic whose model would be under change with this target among them
    (weights: spec.guardrails.trafficWeight)."""
    spent: dict[str, float] | None = None
    """Used up by all targets in the fleet's period: ``retrains`` and the names of
    ``budget.spent``."""
    limits: dict[str, float] | None = None
    """Limits of the FleetLimits document by the same names, and ``targets_at_once``,
    ``traffic_percent``; one that is not set is not there."""


class ErrorBudgetContext(ContextValue):
    """How much worse than its objective the target may still get (spec.guardrails.errorBudget)."""

    is_set: bool = False
    """Whether the document has one."""
    objective: float | None = None
    """Share of the matured windows that are to be good: mean loss within tolerance."""
    windows: int | None = None
    """Windows that were counted, the newest."""
    bad: int | None = None
    """How many of them were not good."""
    left: float | None = None
    """Share of the budget that is left: 1 untouched, 0 used up, below 0 overspent."""


class LimitsContext(ContextValue):
    """What the target's document asks for that is no budget."""

    ask_before: tuple[str, ...] | None = None
    """Names of risks and tools before which a person is asked, spec.guardrails.askBefore."""


class LadderContext(ContextValue):
    """Where the target stands on the ladder of autonomy (spec.guardrails.ladder)."""

    is_set: bool = False
    """Whether autonomy has to be earned; otherwise it is what the document says."""
    ceiling: str | None = None
    """spec.guardrails.autonomy: no rung above it is ever reached."""
    clean_incidents: int | None = None
    """Incidents closed well on the present rung, within the period."""


class PauseContext(ContextValue):
    """The kill switch and the pause of the target, read just before."""

    active: bool | None = None
    """Somebody has stopped changes."""
    allows_safe_return: bool = False
    """Whoever paused said that mendloop may still go back to the safe state."""
    by: str = ""
    """Who."""
    reason: str = ""
    """Why."""
