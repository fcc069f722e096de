"""Testing the mean of bounded observations by betting: e-processes, restarts, confidence bounds.

Whoever bets a fixed fraction against "the mean is at most m" at fair odds cannot expect to get
richer while that is true; so wealth is evidence, valid at every look, and needs only a lower bound
of the observation (the most that a stake can lose). Sources: Waudby-Smith & Ramdas 2024 (arXiv
2010.09686) for betting; Shin, Ramdas & Rinaldo 2024 (arXiv 2203.03532) for restarting, so that a
long good past does not hide a change; Maurer & Pontil 2009 (arXiv 0907.3740) for the interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tools.errors import Invalid
from tools.values import Value

FRACTIONS = (0.9, 0.6, 0.4, 0.2, 0.1, 0.05)
"""Stakes, as parts of the largest that cannot go bankrupt: large ones find large changes soon."""

FIRST_START = 0.5
"""Prior weight of "wrong from the first observation on"; the rest is spread over later starts."""

_SPREAD = 20.0
_RICHEST = 1e280
_SMALLEST_RISK = 1e-3


class RestartedBets(Value):
    """An e-process against "no observation's mean exceeds its bound", restarted at every step.

    Wealth is split over stakes and over starting times j with weights that add up to 1, so the
    total is still an e-process: the chance that it *ever* reaches 1/alpha while the null
    hypothesis holds is at most alpha, over the whole life. A change at step j costs only
    ln(1/weight_j) of evidence, however long the good time before it was.
    """

    wealth: tuple[float, ...] = tuple(FIRST_START / len(FRACTIONS) for _ in FRACTIONS)
    """Per stake, over all starts so far."""
    steps: int = Field(default=0, ge=0)

    def update(self, excess: float, *, worst: float) -> RestartedBets:
        """Bet on one observation: ``excess`` over its bound, at worst ``worst`` (below 0).

        ``worst`` and the decision to bet may use everything known before the observation.
        """
        if not (math.isfinite(excess) and excess >= worst - 1e-9):
            raise Invalid(f"expected a number of at least {worst}, got {excess}", field="excess")
        risk = max(-worst, _SMALLEST_RISK)
        new = (1.0 - FIRST_START) * spent_at(self.steps) if self.steps else 0.0
        share = new / len(FRACTIONS)
        wealth = tuple(
            min((old + share) * max(0.0, 1.0 + fraction * excess / risk), _RICHEST)
            for old, fraction in zip(self.wealth, FRACTIONS, strict=True)
        )
        return RestartedBets(wealth=wealth, steps=self.steps + 1)

    @property
    def log_e(self) -> float:
        """Log e-value so far; at least ln(1/alpha) proves the excess at that alpha."""
        return math.log(sum(self.wealth) + (1.0 - FIRST_START) * _left(max(self.steps, 1)))


def spent_at(step: int) -> float:
    """The part of a budget of 1 that belongs to step 1, 2, ...: together 1, never used up.

    Falls like 1 / (t ln^2 t), so a late step costs little more evidence than an early one.
    """
    return _left(step) - _left(step + 1)


class Interval(Value):
    """A mean and the bounds that hold for it."""

    low: float
    mean: float
    high: float


def empirical_bernstein(
    count: int, total: float, total_of_squares: float, *, span: float, alpha: float
) -> Interval:
    """Two-sided bounds of a mean from ``count`` independent observations within ``span``."""
    if count < 2:
        raise Invalid(f"expected at least 2 observations, got {count}", field="count")
    mean = total / count
    variance = max(0.0, (total_of_squares - count * mean * mean) / (count - 1))
    log_term = math.log(4.0 / alpha)
    half = math.sqrt(2.0 * variance * log_term / count) + 7.0 * span * log_term / (
        3.0 * (count - 1)
    )
    return Interval(low=mean - half, mean=mean, high=mean + half)


def mean_bounds(
    values: Sequence[float] | NDArray[np.float64], *, alpha: float, grid: int = 200
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Hedged-capital confidence sequence of the mean of values in [0, 1], in their order.

    Lower and upper bound after every value; the mean is inside all of them together with
    probability at least 1 - alpha. Work and memory: values times ``grid``.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0 or not (np.all(data >= 0.0) and np.all(data <= 1.0)):
        raise Invalid("expected at least one value, all between 0 and 1", field="values")
    means = np.linspace(0.0, 1.0, grid + 1)
    stakes = _predictable_stakes(data, alpha)
    up = np.minimum(stakes[:, None], 0.5 / np.maximum(means, 1e-12))
    down = np.minimum(stakes[:, None], 0.5 / np.maximum(1.0 - means, 1e-12))
    gap = data[:, None] - means
    capital = np.maximum(
        np.cumsum(np.log1p(up * gap), axis=0), np.cumsum(np.log1p(-down * gap), axis=0)
    )
    inside = np.maximum.accumulate(capital, axis=0) < math.log(2.0 / alpha)
    return _ends(inside, means)


def _ends(
    inside: NDArray[np.bool_], means: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Widened by one grid step, so that the grid costs width and never coverage."""
    step = means[1] - means[0]
    first = np.argmax(inside, axis=1)
    last = len(means) - 1 - np.argmax(inside[:, ::-1], axis=1)
    low = np.maximum.accumulate(np.maximum(0.0, means[first] - step))
    high = np.minimum.accumulate(np.minimum(1.0, means[last] + step))
    return low, high


def _predictable_stakes(data: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """Stakes from the values before each one (the paper's equation 26)."""
    order = np.arange(1, len(data) + 1)
    mean = (0.5 + np.cumsum(data)) / (order + 1)
    variance = (0.25 + np.cumsum((data - mean) ** 2)) / (order + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    return np.sqrt(2.0 * math.log(2.0 / alpha) / (before * order * np.log1p(order)))


def _left(step: int) -> float:
    """What of a budget of 1 is left before this step."""
    return math.log(_SPREAD) / math.log(_SPREAD + step - 1)
