"""``kind: Scenario``: a world, what goes wrong in it, what the truth is, and how it is scored.

Durations are written ``90s``, ``30m``, ``12h``, ``14d`` and count from the world's start. There is
one time: what production calls event time and wall clock pass together here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from policies.document import GuardrailPolicy
from simulations.faults.catalog import AnyFault
from simulations.faults.inputs import Depot
from simulations.law import DEPOTS, EFFECTS
from simulations.scenario_truth import Scoring, Truth
from tools.managed_model import Duration
from tools.schema import DocumentValue

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"


class ScenarioMetadata(DocumentValue):
    """Names the scenario; labels group scenarios in reports."""

    name: str = Field(pattern=_NAME)
    labels: dict[str, str] = {}


class ModelInWorld(DocumentValue):
    """One served model of the world, with its own parcels and its own law."""

    name: str = Field(default="parcels", pattern=_NAME)
    effects: dict[str, float] = {}
    """Effects of its law that differ from the usual ones (``simulations/law.py``)."""
    spec: dict[str, dict[str, Any]] = {}
    """Fields of its ManagedModel that differ from the usual ones, section by section, for example
    ``rollout: {probation: 1d}``."""

    @model_validator(mode="after")
    def _effects_known(self) -> Self:
        unknown = sorted(set(self.effects) - {*EFFECTS, *DEPOTS})
        if unknown:
            known = ", ".join(sorted({*EFFECTS, *DEPOTS}))
            raise ValueError(f"effects: there is no {', '.join(unknown)}; expected some of {known}")
        return self


class PopulationInWorld(DocumentValue):
    """Whose parcels are predicted and logged: a sample of all requests."""

    rows_per_hour: float = Field(default=60.0, gt=0, le=2000)
    """Mean number of logged rows per model."""
    depots: dict[Depot, float] = {}
    """Weight of each depot (the slice); those not named have weight 1."""
    day_swing: float = Field(default=0.4, ge=0, le=1)
    """How much the volume rises and falls over a day, as a share of its mean."""
    weekend_dip: float = Field(default=0.15, ge=0, le=1)
    """How much quieter the weekend is."""
    weather_day_swing: float = Field(default=0.0, ge=0)
    """How much the wind rises and falls over a day, in m/s."""
    weather_week_swing: float = Field(default=0.0, ge=0)
    """The same over a week."""


class TrafficInWorld(DocumentValue):
    """How many requests the servers answer, logged or not."""

    requests_per_second: float = Field(default=20.0, gt=0)
    """Mean rate per model; it follows the rhythm of the population."""
    capacity: float = Field(default=100.0, gt=0)
    """Requests per second up to which one version's server is quick."""


class Ticks(DocumentValue):
    """How often the operator looks: soon after something moved, later and later while all is
    quiet."""

    shortest: Duration = timedelta(seconds=30)
    longest: Duration = 3 * HOUR


class WorldInScenario(DocumentValue):
    """The world before anything goes wrong."""

    models: tuple[ModelInWorld, ...] = Field(default=(ModelInWorld(),), min_length=1)
    population: PopulationInWorld = PopulationInWorld()
    traffic: TrafficInWorld = TrafficInWorld()
    label_delay: Duration = 6 * HOUR
    """Within which labels become known."""
    history: Duration = 10 * DAY
    """Labelled rows from before the start, on which the first champion is fitted."""
    duration: Duration = 12 * DAY
    training_takes: Duration = timedelta(minutes=20)
    tick: Ticks = Ticks()

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        names = [model.name for model in self.models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"models named twice: {', '.join(twice)}")
        return self


class Noise(DocumentValue):
    """What is never perfect, even in a healthy world."""

    errors: float = Field(default=0.002, ge=0, le=0.5)
    """Share of requests that fail."""
    slow: float = Field(default=0.004, ge=0, le=0.5)
    """Share of requests answered later than the objective."""
    unlabelled: float = Field(default=0.02, ge=0, le=1)
    """Share of rows whose label never comes."""
    unread: float = Field(default=0.0, ge=0, le=1)
    """Share of readings of the metrics that fail."""


class Approver(DocumentValue):
    """The person who is asked."""

    answers: Literal["approves", "rejects", "never"] = "approves"
    after: Duration = timedelta(minutes=30)


class GuardrailsInScenario(DocumentValue):
    """Rules of the scenario, beside those that are built in."""

    policies: tuple[GuardrailPolicy, ...] = ()
    """More GuardrailPolicy documents, in line."""
    approver: Approver = Approver()


class ScenarioSpec(DocumentValue):
    """The ``spec`` of a Scenario."""

    description: str
    """What happens, in a sentence or two."""
    world: WorldInScenario = WorldInScenario()
    faults: tuple[AnyFault, ...] = ()
    noise: Noise = Noise()
    guardrails: GuardrailsInScenario = GuardrailsInScenario()
    truth: Truth
    scoring: Scoring = Scoring()


class Scenario(DocumentValue):
    """One rehearsal."""

    api_version: Literal["mendloop.dev/v1alpha1"]
    kind: Literal["Scenario"]
    metadata: ScenarioMetadata
    spec: ScenarioSpec

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name

    @model_validator(mode="after")
    def _targets_exist(self) -> Self:
        names = {model.name for model in self.spec.world.models}
        for number, fault in enumerate(self.spec.faults):
            _known(fault.targets, names, f"spec.faults[{number}].targets")
        for number, cause in enumerate(self.spec.truth.causes):
            _known((cause.target,), names, f"spec.truth.causes[{number}].target")
        if self.spec.truth.kind in ("fault", "compound") and not self.spec.faults:
            raise ValueError(f"spec.faults: truth says {self.spec.truth.kind}, expected some fault")
        return self


def _known(targets: tuple[str, ...], names: set[str], field: str) -> None:
    unknown = sorted(set(targets) - names)
    if unknown:
        raise ValueError(
            f"{field}: no model {', '.join(unknown)}; expected {', '.join(sorted(names))}"
        )
