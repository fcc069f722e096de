"""``kind: ManagedModel``: everything mendloop may assume about one model it keeps healthy.

Durations are written as ``tools/durations.py`` says. Event time rules windows, label delays and
probation; the wall clock rules deadlines.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from tools.durations import Duration as Duration
from tools.rollout import Rollout as Rollout
from tools.rollout import Shadow as Shadow
from tools.schema import DocumentValue, FeatureSchema
from tools.triggers import Triggers

Rung = Literal["observe", "propose", "approve", "auto"]
"""How much mendloop may do by itself, least first."""


def checked_zone(name: str) -> str:
    """``name``, if it is an IANA time zone. Raises ValueError."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"expected an IANA zone such as Europe/Berlin, got {name!r}") from error
    return name


class Metadata(DocumentValue):
    """Names the target: the served model ``namespace/name``."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    namespace: str = Field(default="default", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    labels: dict[str, str] = {}


class Label(DocumentValue):
    """What turns out to be true, and when it is known."""

    name: str
    delay: Duration
    """A row counts as matured once the log's watermark is this far past its event time. Judging
    earlier is biased: here, flights that are on time report first."""
    min_rate: float = Field(default=0.8, ge=0, le=1)
    """Below this share of labelled matured rows, quality is unknown (a broken label feed)."""


class Data(DocumentValue):
    """Where training data comes from and what it must look like."""

    history: str
    """Path or fsspec URL of a Parquet or CSV file from before the prediction log began."""
    min_rows: int = Field(default=1000, ge=1)
    max_null_rate: float = Field(default=0.05, ge=0, le=1)
    """Per column that is not nullable."""


class Training(DocumentValue):
    """What the pipeline may try."""

    families: tuple[Literal["hist_gradient_boosting", "random_forest", "logistic_regression"], ...]
    search_candidates: int = Field(default=4, ge=1, le=200)
    """Points of the randomized search, over all families; few, because the gate decides."""
    holdout: Duration = timedelta(days=14)
    """The newest matured event time, kept from fitting, on which gates compare to the champion."""
    recent: Duration = timedelta(days=60)
    """How far back ``retrain_recent`` looks; ``retrain_full`` uses everything trusted."""
    timeout: Duration = timedelta(minutes=20)
    """Wall clock for one run; after it the run counts as hung."""


class Gate(DocumentValue):
    """A condition that a challenger must pass before it may be registered as one."""

    metric: Literal["log_loss", "brier", "roc_auc", "accuracy", "f1", "precision", "recall"]
    minimum: float | None = None
    maximum: float | None = None
    not_worse_than_champion_by: float | None = Field(default=None, ge=0)
    """On the same held-out rows; in the metric's own units."""
    slices: tuple[str, ...] = ()
    """Category columns in each of whose values (with enough rows) the comparison must hold too."""


class Serving(DocumentValue):
    """How the model is served."""

    route: str
    """Name of the VirtualService in the target's namespace."""
    host: str
    """Destination host of its routes; the versions are its subsets."""
    latency_objective: Duration = timedelta(milliseconds=250)
    ready_within: Duration = timedelta(seconds=60)
    max_error_rate: float = Field(default=0.02, gt=0, lt=1)
    """Share of the champion's requests that may fail for minutes before its server is restarted, or
    its former version takes over."""
    max_slow_rate: float = Field(default=0.1, gt=0, lt=1)
    """The same of requests slower than the objective; a restart cures no load, so this only takes
    back a version on probation, or calls a person."""


class EvidenceRules(DocumentValue):
    """The error rates and tolerances that decisions are allowed to rest on."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """False-alarm rate per question asked of one version, over all looks."""
    window: Duration = timedelta(days=1)
    """Event time per observation window."""
    loss_tolerance: float = Field(default=0.01, ge=0)
    """Mean log loss above its reference that users do not notice; smaller is not acted on."""
    drift_tolerance: float = Field(default=0.05, ge=0, lt=1)
    """Kolmogorov or total-variation distance that is not called a shift: 0.05 is a twentieth of
    the rows on the other side of some value, or 0.125 standard deviations."""
    slices: tuple[str, ...] = ()
    """Category columns in each of whose values the loss is watched too, beside those of the gates;
    half of alpha is then split over them."""


class Budget(DocumentValue):
    """What mendloop may use up per ``budgetPeriod``; a limit that is left out does not exist."""

    changes: int | None = Field(default=None, ge=0)
    """Steps that change production."""
    minutes: float | None = Field(default=None, ge=0)
    """Expected duration of all steps."""
    money: float | None = Field(default=None, ge=0)
    """Expected compute, in minutes of one CPU node."""


class ErrorBudget(DocumentValue):
    """How often the model may miss its loss before mendloop asks people about each change."""

    objective: float = Field(gt=0, lt=1)
    """Share of the matured windows whose mean loss is to stay within tolerance."""
    windows: int = Field(default=28, ge=4, le=28)
    """How many of the newest windows count."""


class Ladder(DocumentValue):
    """Autonomy that is earned: ``autonomy`` above it becomes the highest rung."""

    start: Rung = "observe"
    """Where a target without a record stands."""
    incidents: int = Field(default=3, ge=1)
    """So many incidents in a row closed well on a rung earn the next one."""
    within: Duration = timedelta(days=90)
    """Event time in which they must lie."""
    automatic: bool = True
    """False: a person takes each rung up (``mendloop autonomy``); going down is never asked for."""


class Guardrails(DocumentValue):
    """Limits of one target that the built-in policies read."""

    autonomy: Rung = "auto"
    max_retrains: int = Field(default=6, ge=0)
    """Per ``budget_period`` of event time."""
    budget_period: Duration = timedelta(days=365)
    cool_down: Duration = timedelta(days=7)
    """Event time between two remediations of one kind on the target."""
    approval_valid_for: Duration = timedelta(hours=24)
    """Wall clock within which a request is answered and the answer used; a day has somebody of
    every shift in it."""
    approval_contact: str = Field(default="", max_length=200)
    """Who is asked, in words; where a notification channel has this name, it gets the question."""
    approval_unanswered: Literal["undo", "wait", "escalate"] = "undo"
    """When nobody answers: go back to the safe state; ask again for ever; or tell the contact, ask
    once more, and then go back."""
    budget: Budget = Budget()
    error_budget: ErrorBudget | None = None
    ask_before: tuple[str, ...] = ()
    """Named risks (``irreversible``, ``most-traffic``, ``all-traffic``, ``gives-up-way-back``,
    ``trains``) and tools before which a person is asked, whatever the autonomy."""
    ladder: Ladder | None = None
    """None: autonomy is what it says above."""
    time_zone: str = "UTC"
    """IANA zone in which rules read the local time and the weekday."""
    traffic_weight: float = Field(default=1.0, gt=0)
    """Its traffic beside the other targets', for limits on the whole fleet."""

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        return checked_zone(name)


class ManagedModelSpec(DocumentValue):
    """The ``spec`` of a ManagedModel."""

    model: str
    """Name in the model registry."""
    schema_: FeatureSchema = Field(alias="schema")
    label: Label
    data: Data
    training: Training
    gates: tuple[Gate, ...] = Field(min_length=1)
    serving: Serving
    rollout: Rollout = Rollout()
    triggers: Triggers | None = None
    """What asks for a challenger besides labels and alerts; None: nothing does."""
    evidence: EvidenceRules = EvidenceRules()
    guardrails: Guardrails = Guardrails()

    @property
    def watched_slices(self) -> tuple[str, ...]:
        """Columns by whose values quality is watched: the gates' and the evidence's, each once."""
        of_gates = [column for gate in self.gates for column in gate.slices]
        return tuple(dict.fromkeys([*of_gates, *self.evidence.slices]))

    @model_validator(mode="after")
    def _slices_are_categories(self) -> Self:
        unknown = sorted(set(self.evidence.slices) - set(self.schema_.categories))
        if unknown:
            raise ValueError(
                f"evidence.slices: {', '.join(unknown)}: expected category columns of the schema, "
                f"one of {', '.join(self.schema_.categories)}"
            )
        return self


class ManagedModel(DocumentValue):
    """One model that mendloop keeps healthy."""

    api_version: Literal["mendloop.dev/v1alpha1"]
    kind: Literal["ManagedModel"]
    metadata: Metadata
    spec: ManagedModelSpec

    @property
    def target(self) -> str:
        """The name under which leases, servers and journal events know it."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    def history_path(self, base: Path) -> str:
        """``spec.data.history``, relative paths resolved against the document's folder."""
        history = self.spec.data.history
        if "://" in history or Path(history).is_absolute():
            return history
        return str(base / history)
