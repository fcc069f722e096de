"""Measures how far all quantiles of a column moved, and whether something takes that away again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools.statistics.conversions import Floats

LEVEL_ROWS = 30
"""Fewer say nothing about quantiles."""
EXPLAINED = 0.2
"""Share of the movement that may remain when a conversion is inverted."""
_LEVELS = np.linspace(0.1, 0.9, 9)


@dataclass(frozen=True)
class QuantileJump:
    """How far all quantiles of a column moved."""

    expected: Floats
    spread: float
    moved: float
    """0 where too few rows tell."""

    @classmethod
    def of(cls, trusted: Floats, raw: Floats) -> QuantileJump:
        """From what is trusted to what arrives as it is."""
        if min(len(trusted), len(raw)) < LEVEL_ROWS:
            return cls(np.empty(0), 0.0, 0.0)
        expected = np.quantile(trusted, _LEVELS)
        spread = float(np.std(trusted)) + 1e-9 * float(np.abs(expected).max())
        return cls(expected, spread, float(np.abs(np.quantile(raw, _LEVELS) - expected).mean()))

    def is_wider(self, spreads: float) -> bool:
        """Whether they moved by more than so many spreads of the trusted values."""
        return self.moved > spreads * self.spread

    def is_undone(self, old: Floats) -> bool:
        """Whether the inverse of a conversion takes the movement away."""
        if len(old) < LEVEL_ROWS:
            return False
        left = float(np.abs(np.quantile(old, _LEVELS) - self.expected).mean())
        return left < EXPLAINED * self.moved
