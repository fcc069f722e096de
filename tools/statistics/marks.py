"""The marks that measured values sit on: an arithmetic grid, or simply the values seen before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MOST_DECIMALS = 6
_LARGEST_STEP = 2.0**53
_GRID_VALUES = 8
"""Fewer distinct values fit some grid by accident."""


@dataclass(frozen=True)
class Marks:
    """Where trusted values lie. ``step`` is 0 when there is no grid."""

    support: Floats
    offset: float
    step: float

    @property
    def kind(self) -> Literal["grid", "support"]:
        """Which kind of marks decides."""
        return "grid" if self.step else "support"

    @property
    def enough(self) -> float:
        """Share of new values that must hit: a grid holds all values, a support most."""
        return 0.9 if self.step else 0.5

    def hit(self, values: Floats, tolerance: Floats) -> NDArray[np.bool_]:
        """Whether each value lies within its tolerance of a mark."""
        if self.step:
            steps = (values - self.offset) / self.step
            gap = np.abs(steps - np.round(steps)) * self.step
        else:
            right = np.minimum(np.searchsorted(self.support, values), len(self.support) - 1)
            left = np.maximum(right - 1, 0)
            gap = np.minimum(
                np.abs(self.support[right] - values), np.abs(self.support[left] - values)
            )
        return np.asarray(gap <= tolerance)

    def chance(self, tolerance: Floats) -> float:
        """Chance that an unrelated value hits: the share of the range that the marks cover."""
        width = 2 * float(np.max(tolerance))
        if self.step:
            return min(1.0, width / self.step)
        return min(1.0, width * len(self.support) / (self._span or 1.0))

    def is_plausible(self, value: float) -> bool:
        """Whether a value lies within one span of what was seen."""
        slack = self._span or 1e-6 * max(1.0, abs(float(self.support[0])))
        return float(self.support[0]) - slack <= value <= float(self.support[-1]) + slack

    @property
    def _span(self) -> float:
        return float(self.support[-1] - self.support[0])


def marks(values: Floats) -> tuple[Marks, ...]:
    """The marks of trusted values (at least one value): their grid if they have one, the support.

    Whole numbers are a grid too; whether it is fine enough to decide is a question of tolerance.
    """
    support = np.unique(values)
    seen = Marks(support, float(support[0]), 0.0)
    places = decimals(support)
    if len(support) < _GRID_VALUES or places == _MOST_DECIMALS:
        return (seen,)
    unit = 10.0**-places
    steps = np.round(np.diff(support) / unit)
    if steps.max() > _LARGEST_STEP:
        return (seen,)
    step = int(np.gcd.reduce(steps.astype(np.int64))) * unit
    return (Marks(support, float(support[0]), step), seen)


def decimals(values: Floats) -> int:
    """Decimals that the values show, at most 6 (then they are taken as not rounded)."""
    close = 1e-9 * (1 + np.abs(values))
    for places in range(_MOST_DECIMALS):
        if (np.abs(values - np.round(values, places)) <= close).all():
            return places
    return _MOST_DECIMALS
