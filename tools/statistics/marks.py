"""The marks that measured values sit on: an arithmetic grid, or simply the values seen before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MOST_DECIMALS = 6
_GRID_VALUES = 8
"""Fewer distinct values fit some grid by accident."""
_GRID_STEPS = 5
"""A grid must be this much coarser than the decimals shown, or every number lies on it."""


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
            right = np.clip(np.searchsorted(self.support, values), 0, len(self.support) - 1)
            left = np.clip(right - 1, 0, len(self.support) - 1)
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


def marks(values: Floats) -> Marks:
    """The marks of trusted values (at least one)."""
    support = np.unique(values)
    places = decimals(support)
    unit = 10.0**-places
    step = 0.0
    if len(support) >= _GRID_VALUES and places < _MOST_DECIMALS:
        steps = np.round(np.diff(support) / unit).astype(np.int64)
        divisor = int(np.gcd.reduce(steps))
        step = divisor * unit if divisor >= _GRID_STEPS else 0.0
    return Marks(support, float(support[0]), step)


def decimals(values: Floats) -> int:
    """Decimals that the values show, at most 6 (then they are taken as not rounded)."""
    for places in range(_MOST_DECIMALS):
        if np.allclose(values, np.round(values, places), rtol=0, atol=1e-9 * (1 + abs(values))):
            return places
    return _MOST_DECIMALS
