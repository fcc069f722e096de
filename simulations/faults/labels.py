"""Faults of the labels, and of the rows as training will find them."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from simulations.faults.document import RowFault
from simulations.faults.inputs import Depot, Number
from simulations.law import USUAL, Floats
from simulations.records import LABELS, NEVER, Table
from tools.managed_model import Duration


class LateLabels(RowFault):
    """Labels come later than promised."""

    kind: Literal["late_labels"]
    order: ClassVar[int] = LABELS
    by: Duration

    def change(self, table: Table, strength: Floats) -> None:
        """Push back when each becomes known."""
        table.known_s = table.known_s + self.by.total_seconds() * strength


class MissingLabels(RowFault):
    """Labels do not come at all; ``only`` keeps those of one outcome from coming."""

    kind: Literal["missing_labels"]
    order: ClassVar[int] = LABELS
    share: float = Field(default=1.0, ge=0, le=1)
    only: Literal["late", "in_time"] | None = None

    def change(self, table: Table, strength: Floats) -> None:
        """Never make them known."""
        lost = table.luck[:, 3] < self.share * strength
        if self.only is not None:
            lost &= table.label == (1.0 if self.only == "late" else 0.0)
        table.known_s = np.where(lost, NEVER, table.known_s)


class WrongLabels(RowFault):
    """Labels say the opposite."""

    kind: Literal["wrong_labels"]
    order: ClassVar[int] = LABELS
    share: float = Field(default=0.3, ge=0, le=1)
    depot: Depot | None = None
    corrected_after: Duration | None = None
    """When the right label follows; without it, never."""

    def change(self, table: Table, strength: Floats) -> None:
        """Flip a share of them."""
        wrong = table.luck[:, 3] < self.share * strength
        if self.depot is not None:
            wrong &= table.real["depot"] == self.depot
        if self.corrected_after is not None:
            later = table.known_s + self.corrected_after.total_seconds()
            table.corrected = np.where(wrong, table.label, table.corrected)
            table.corrected_s = np.where(wrong, later, table.corrected_s)
        table.label = np.where(wrong, 1.0 - table.label, table.label)


class Poisoning(RowFault):
    """Somebody plants rows that teach one thing: heavy parcels of a depot are in time."""

    kind: Literal["poisoning"]
    order: ClassVar[int] = LABELS
    depot: Depot = "north"
    share: float = Field(default=0.5, ge=0, le=1)
    """Share of that depot's rows."""
    to: Literal["late", "in_time"] = "in_time"

    def change(self, table: Table, strength: Floats) -> None:
        """Set their labels."""
        hit = (table.luck[:, 3] < self.share * strength) & (table.real["depot"] == self.depot)
        table.label = np.where(hit, 1.0 if self.to == "late" else 0.0, table.label)


class Leakage(RowFault):
    """Once a label is known, the log's copy of a feature is overwritten with what it tells."""

    kind: Literal["leakage"]
    order: ClassVar[int] = LABELS
    feature: Number = "distance"
    size: float = 3.0
    """How far the overwritten value moves with the label, in usual deviations."""

    def change(self, table: Table, strength: Floats) -> None:
        """Let the log show another value than the servers saw."""
        seen = np.asarray(table.arrived[self.feature], dtype=np.float64)
        moved = seen + (2 * table.label - 1) * self.size * USUAL[self.feature][1]
        table.backfilled[self.feature] = np.where(strength > 0, np.maximum(moved, 0.0), seen)
