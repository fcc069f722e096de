"""The law by which parcels are late: what a world knows and a model has to learn.

A law is logistic in how far each number of a parcel is from its usual value, in usual deviations.
It is drawn per row, so that it may change with time and differ from depot to depot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Columns = Mapping[str, NDArray[np.generic]]

USUAL: Mapping[str, tuple[float, float]] = {
    "weight": (8.0, 3.0),
    "distance": (120.0, 85.0),
    "wind": (6.0, 2.0),
    "rain": (2.0, 2.0),
}
"""Number column to its usual value and its usual deviation."""
DEPOTS = ("east", "north", "west")
EFFECTS: Mapping[str, float] = {
    "intercept": -0.9,
    "weight": 1.4,
    "distance": 0.6,
    "wind": 0.7,
    "rain": 0.4,
    "north": 0.5,
}
"""Change of the log odds of being late, per usual deviation or in that depot."""


@dataclass
class Law:
    """Log odds of being late as effects, each a number or one number per row."""

    effects: dict[str, Floats]

    @classmethod
    def of(cls, effects: Mapping[str, float], rows: int) -> Law:
        """The same effects in every row; those not named are the usual ones."""
        merged = {**EFFECTS, **effects}
        return cls({name: np.full(rows, value) for name, value in merged.items()})

    def log_odds(self, rows: Columns) -> Floats:
        """Log odds of being late, per row of real numbers."""
        score = self.effects["intercept"].copy()
        for name, (usual, deviation) in USUAL.items():
            score += self.effects[name] * (numbers(rows, name) - usual) / deviation
        depot = rows["depot"]
        for name in DEPOTS:
            if name in self.effects:
                score += self.effects[name] * (depot == name)
        return score

    def chance(self, rows: Columns) -> Floats:
        """Chance of being late, per row."""
        return sigmoid(self.log_odds(rows))


def numbers(rows: Columns, name: str) -> Floats:
    """A number column as floats."""
    return np.asarray(rows[name], dtype=np.float64)


def sigmoid(score: Floats) -> Floats:
    """Chance that belongs to log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(score, -30.0, 30.0))), dtype=np.float64)


def log_odds(chance: Floats) -> Floats:
    """Log odds that belong to a chance."""
    inside = np.clip(chance, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float64)


def expected_loss(believed: Floats, chance: Floats) -> Floats:
    """Log loss to be expected of what a model believes where ``chance`` is the truth."""
    inside = np.clip(believed, 1e-6, 1 - 1e-6)
    return np.asarray(-(chance * np.log(inside) + (1 - chance) * np.log(1 - inside)))


def excess_loss(believed: Floats, chance: Floats) -> Floats:
    """The part of the expected loss that a model with perfect knowledge would not have."""
    return expected_loss(believed, chance) - expected_loss(chance, chance)
