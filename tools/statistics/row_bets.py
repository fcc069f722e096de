"""Bets on single rows that two models answered: the same question as bets on windows, sooner.

A row's difference in loss takes one of two values that are known before its label, so every row can
be a bet of its own; a proof takes hundreds of rows instead of a dozen windows. What the days bring
falls on both models alike and mostly cancels, which it does not where one model's loss is held
against its own past: there the window stays the unit. The null hypothesis is that in no window the
rows' mean difference exceeds the bound. Source: Waudby-Smith & Ramdas 2024 (arXiv 2010.09686).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tools.values import Value

Floats = NDArray[np.float64]

STAKES = (0.8, 0.4, 0.2, 0.1, 0.05, 0.025)
"""Stakes per nat: about the mean excess divided by its variance is best, so these suit a
difference from a tolerance to a nat."""
MOST_AT_RISK = 0.5
"""Part of the wealth that one row may cost at most."""


class RowBets(Value):
    """Wealth of a mixture of stakes, in logarithms; an e-process, valid at every look."""

    log_wealth: tuple[float, ...] = tuple(0.0 for _ in STAKES)
    rows: int = 0

    def update(self, excess: Floats, worst: Floats) -> RowBets:
        """Bet on rows in their order: ``excess`` over the bound, at worst ``worst`` per row, which
        was known before the label."""
        if not len(excess):
            return self
        risk = np.maximum(-np.asarray(worst, dtype=np.float64), 1e-9)
        grown = tuple(
            old + float(np.log1p(np.minimum(stake, MOST_AT_RISK / risk) * excess).sum())
            for old, stake in zip(self.log_wealth, STAKES, strict=True)
        )
        return RowBets(log_wealth=grown, rows=self.rows + len(excess))

    @property
    def log_e(self) -> float:
        """Log e-value so far."""
        most = max(self.log_wealth)
        total = sum(math.exp(one - most) for one in self.log_wealth)
        return most + math.log(total / len(STAKES))
