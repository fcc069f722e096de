"""Every kind of fault that a scenario document may name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from simulations.faults.inputs import (
    CovariateDrift,
    FrozenFeed,
    MixShift,
    NoisySlice,
    NullSurge,
    SchemaChange,
    SeasonalSwing,
    UnitChange,
)
from simulations.faults.labels import LateLabels, Leakage, MissingLabels, Poisoning, WrongLabels
from simulations.faults.laws import ConceptDrift, Feedback, LabelDrift
from simulations.faults.platform import (
    AliasMoved,
    ControllerCrash,
    DuplicateTriggers,
    Freeze,
    MetricsBlackout,
    MetricsGap,
    PortOutage,
    ServerCrash,
    WeightsEdited,
    WeightsStuck,
)
from simulations.faults.serving import (
    FailingServers,
    Miscalibration,
    SliceRegression,
    SlowServers,
    TrafficSurge,
    TrainingServingSkew,
)
from simulations.faults.training import BrokenArtifacts, Release, TrainingFault

AnyFault = Annotated[
    CovariateDrift
    | SeasonalSwing
    | MixShift
    | NoisySlice
    | NullSurge
    | FrozenFeed
    | UnitChange
    | SchemaChange
    | ConceptDrift
    | LabelDrift
    | Feedback
    | LateLabels
    | MissingLabels
    | WrongLabels
    | Poisoning
    | Leakage
    | Miscalibration
    | TrainingServingSkew
    | SliceRegression
    | SlowServers
    | FailingServers
    | TrafficSurge
    | TrainingFault
    | BrokenArtifacts
    | Release
    | MetricsBlackout
    | MetricsGap
    | PortOutage
    | WeightsStuck
    | WeightsEdited
    | AliasMoved
    | ServerCrash
    | ControllerCrash
    | Freeze
    | DuplicateTriggers,
    Field(discriminator="kind"),
]
"""One of the kinds; the field ``kind`` says which."""
