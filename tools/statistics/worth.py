"""Is retraining worth its price, and when? From what earlier retrains were seen to gain.

Every retrain is compared, on the rows after it, with what would have been served without it. The
gain, over the rows by which the new version is fresher, says how fast this model goes stale. If the
loss of an ageing version grows by ``rate`` per row, retraining every n rows costs rate * n / 2 of
loss per row and price / n of retraining; the sum is least at n = sqrt(2 * price / rate). Only a
rate whose lower confidence bound is above 0 counts: no proof of staleness, no schedule.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtrit

from tools.statistics.betting import Interval
from tools.values import Value

MEMORY = 0.8
"""What a trial weighs when the next one is over: streams change their speed."""
LEAST_WINDOWS = 4


class Trial(Value):
    """One retrain against doing without it, window by window on the same rows."""

    fresher_by: int
    """Rows that it was trained on and the version before it was not."""
    gains: tuple[float, ...] = ()
    """Mean loss without it minus mean loss with it, per window."""

    def after(self, gain: float) -> Trial:
        """One more window."""
        return self.model_copy(update={"gains": (*self.gains, gain)})

    @property
    def mean(self) -> float:
        """Mean gain per row."""
        return float(np.mean(self.gains)) if self.gains else 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean; windows are the witnesses, not rows."""
        if len(self.gains) < 2:
            return math.inf
        return float(np.std(self.gains, ddof=1)) / math.sqrt(len(self.gains))

    def bounds(self, alpha: float) -> Interval | None:
        """Each bound holds with 1 - alpha at a look fixed beforehand; None of too few windows."""
        if len(self.gains) < LEAST_WINDOWS:
            return None
        width = float(stdtrit(len(self.gains) - 1, 1 - alpha)) * self.error
        return Interval(low=self.mean - width, mean=self.mean, high=self.mean + width)


class Staleness(Value):
    """How fast the loss of an ageing version grows, from all trials so far."""

    gain: float = 0.0
    variance: float = 0.0
    fresher: float = 0.0

    def after(self, trial: Trial) -> Staleness:
        """One more trial that is over."""
        if not math.isfinite(trial.error):
            return self
        return Staleness(
            gain=MEMORY * self.gain + trial.mean,
            variance=MEMORY**2 * self.variance + trial.error**2,
            fresher=MEMORY * self.fresher + trial.fresher_by,
        )

    def rate(self, *, errors: float = 1.0) -> float:
        """Loss per row and row of age: the estimate less ``errors`` standard errors, at least 0."""
        if not self.fresher:
            return 0.0
        return max(0.0, self.gain - errors * math.sqrt(self.variance)) / self.fresher

    def best_interval(self, price: float) -> float:
        """Rows between retrains at which staleness and their price together cost least."""
        rate = self.rate()
        return math.sqrt(2.0 * price / rate) if rate > 0 else math.inf
