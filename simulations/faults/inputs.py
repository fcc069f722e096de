"""Faults of the inputs: what parcels are like, and what arrives of it at the servers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simulations.faults.document import RowFault
from simulations.law import USUAL, Floats, numbers
from simulations.records import ARRIVED, REAL, Table
from tools.managed_model import Duration

Number = Literal["weight", "distance", "wind", "rain"]
Depot = Literal["east", "north", "west"]
FEEDS = {"weather": ("wind", "rain")}


class CovariateDrift(RowFault):
    """Parcels really become different: the model sees it, the law stays."""

    kind: Literal["covariate_drift"]
    order: ClassVar[int] = REAL
    feature: Number = "weight"
    size: float = 1.0
    """Shift at full strength, in usual deviations."""
    depot: Depot | None = None
    """Only there."""

    def change(self, table: Table, strength: Floats) -> None:
        """Shift the real values, never below nothing."""
        shift = self.size * USUAL[self.feature][1] * strength * _where(table, self.depot)
        _become(table, self.feature, np.maximum(numbers(table.real, self.feature) + shift, 0.0))


class SeasonalSwing(RowFault):
    """A season: a feature swings and comes back; nothing is wrong."""

    kind: Literal["seasonal_swing"]
    order: ClassVar[int] = REAL
    feature: Number = "wind"
    size: float = 1.0
    """Half the swing, in usual deviations."""
    cycle: Duration

    def change(self, table: Table, strength: Floats) -> None:
        """Add a sine over the cycle."""
        wave = np.sin(2 * np.pi * table.at_s / self.cycle.total_seconds())
        shift = self.size * USUAL[self.feature][1] * strength * wave
        moved = np.round(np.maximum(numbers(table.real, self.feature) + shift, 0.0), 2)
        _become(table, self.feature, moved)


class MixShift(RowFault):
    """More parcels come from one depot than before."""

    kind: Literal["mix_shift"]
    order: ClassVar[int] = REAL
    depot: Depot = "north"
    share: float = Field(default=0.3, ge=0, le=1)
    """Share of the other depots' parcels that come from this one instead."""

    def change(self, table: Table, strength: Floats) -> None:
        """Move parcels to the depot."""
        moved = table.luck[:, 3] < self.share * strength
        _become(table, "depot", np.where(moved, self.depot, table.real["depot"]))


class NoisySlice(RowFault):
    """One depot's values scatter more; they are real, and the law treats them as any other."""

    kind: Literal["noisy_slice"]
    order: ClassVar[int] = REAL
    feature: Number = "weight"
    depot: Depot = "west"
    size: float = 1.0
    """Added deviation, in usual deviations."""

    def change(self, table: Table, strength: Floats) -> None:
        """Scatter the slice's values."""
        scatter = (table.luck[:, 3] - 0.5) * np.sqrt(12.0) * self.size * USUAL[self.feature][1]
        moved = numbers(table.real, self.feature) + scatter * strength * _where(table, self.depot)
        _become(table, self.feature, np.maximum(moved, 0.0))


class NullSurge(RowFault):
    """Values stop arriving."""

    kind: Literal["null_surge"]
    order: ClassVar[int] = ARRIVED
    features: tuple[Number, ...] = ("wind",)
    share: float = Field(default=0.5, ge=0, le=1)

    def change(self, table: Table, strength: Floats) -> None:
        """Blank out a share of the values."""
        lost = table.luck[:, 3] < self.share * strength
        for name in self.features:
            table.arrived[name] = np.where(lost, np.nan, numbers(table.arrived, name))


class FrozenFeed(RowFault):
    """A feed repeats the last values that it had, depot by depot."""

    kind: Literal["frozen_feed"]
    order: ClassVar[int] = ARRIVED
    feed: Literal["weather"] = "weather"

    def change(self, table: Table, strength: Floats) -> None:
        """Hold the values of the last row before the freeze."""
        frozen = strength > 0
        if not frozen.any():
            return
        first = int(np.argmax(frozen))
        for name in FEEDS[self.feed]:
            values = numbers(table.arrived, name).copy()
            for depot in np.unique(table.real["depot"].astype(str)):
                here = table.real["depot"] == depot
                before = np.flatnonzero(here[:first])
                if len(before):
                    values[here & frozen] = values[before[-1]]
            table.arrived[name] = values


class UnitChange(RowFault):
    """A number arrives in another unit."""

    kind: Literal["unit_change"]
    order: ClassVar[int] = ARRIVED
    feature: Number = "wind"
    factor: float = 3.6
    offset: float = 0.0

    def change(self, table: Table, strength: Floats) -> None:
        """Convert the values that arrive."""
        values = numbers(table.arrived, self.feature)
        converted = np.round(values * self.factor + self.offset, 2)
        table.arrived[self.feature] = np.where(strength > 0, converted, values)


class SchemaChange(RowFault):
    """Upstream renames: a number column is no longer filled, or a category gets another name."""

    kind: Literal["schema_change"]
    order: ClassVar[int] = ARRIVED
    column: Literal["weight", "distance", "wind", "rain", "depot"] = "distance"
    suffix: str = "-hub"
    """Appended to the names of depots where the column is ``depot``."""

    def change(self, table: Table, strength: Floats) -> None:
        """Empty the number column, or rename the categories."""
        hit = strength > 0
        if self.column == "depot":
            renamed = np.array([f"{value}{self.suffix}" for value in table.arrived["depot"]])
            table.arrived["depot"] = np.where(hit, renamed, table.arrived["depot"]).astype(object)
        else:
            values = numbers(table.arrived, self.column)
            table.arrived[self.column] = np.where(hit, np.nan, values)


def _where(table: Table, depot: str | None) -> Floats:
    if depot is None:
        return np.ones(len(table.at_s))
    return np.asarray(table.real["depot"] == depot, dtype=np.float64)


def _become(table: Table, name: str, values: NDArray[Any]) -> None:
    """What is real arrives, until a fault of the arrival says otherwise."""
    table.real[name] = table.arrived[name] = values
