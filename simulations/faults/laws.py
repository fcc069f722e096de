"""Faults of the law: the same parcel is late more often, or less, than it was."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from simulations.faults.document import RowFault
from simulations.faults.inputs import Depot
from simulations.law import Floats
from simulations.records import LAW, Table


class ConceptDrift(RowFault):
    """What a feature means for the label changes; sudden, with ``ramp`` gradual, with ``period``
    recurring."""

    kind: Literal["concept_drift"]
    order: ClassVar[int] = LAW
    feature: Literal["weight", "distance", "wind", "rain", "north"] = "weight"
    size: float = 2.3
    """How much its effect falls, in log odds per usual deviation (weight has 1.4)."""
    shift: float = 0.0
    """How much the log odds of all parcels rise with it."""
    depot: Depot | None = None
    """Only there."""

    def change(self, table: Table, strength: Floats) -> None:
        """Move the effect of the feature."""
        here = np.ones(len(table.at_s))
        if self.depot is not None:
            here = (table.real["depot"] == self.depot).astype(np.float64)
        effects = table.law.effects
        effects[self.feature] = effects[self.feature] - self.size * strength * here
        effects["intercept"] = effects["intercept"] + self.shift * strength * here


class LabelDrift(RowFault):
    """All parcels are late more often, whatever they are like."""

    kind: Literal["label_drift"]
    order: ClassVar[int] = LAW
    size: float = 1.0
    """Rise of the log odds."""

    def change(self, table: Table, strength: Floats) -> None:
        """Move the intercept."""
        table.law.effects["intercept"] = table.law.effects["intercept"] + self.size * strength


class Feedback(RowFault):
    """The world answers to the model: every promotion changes the law that it had learned."""

    kind: Literal["feedback"]
    order: ClassVar[int] = LAW
    on: Literal["promoted"] = "promoted"
    each_time: bool = True
    size: float = 0.6
    """Fall of the effect of the weight per promotion."""

    def change(self, table: Table, strength: Floats) -> None:
        """Move the effect of the weight once more."""
        table.law.effects["weight"] = table.law.effects["weight"] - self.size * strength
