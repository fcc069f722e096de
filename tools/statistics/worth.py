"""Is retraining worth its price, and when? From what earlier retrains were seen to gain.

Every new version is compared, on the rows after its fit, with doing without it, and by itself with
the version before it. The first gain, over the rows by which it is fresher, says how fast what is
served goes stale. If its loss grows by ``rate`` per row, retraining every n rows costs rate * n / 2
of loss per row and price / n of retraining; the sum is least at n = sqrt(2 * price / rate). One
more opinion helps a little even where nothing changes, so a schedule asks for more: that a retrain
brings more than users notice, to what is served or version against version.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtrit

from tools.statistics.betting import Interval
from tools.values import Value

MEMORY = 0.8
"""What a trial weighs when the next one is over, in the question whether retraining pays at all."""
PACE = 0.5
"""The same in the question how fast it goes stale: right after a turn every retrain learns much,
and each one less than the one before."""
LEAST_WINDOWS = 4


class Trial(Value):
    """One retrain against doing without it, window by window on the same rows."""

    fresher_by: int
    """Rows that it was trained on and the version before it was not."""
    gains: tuple[float, ...] = ()
    """Mean loss without it minus mean loss with it, of all that is served, per window."""
    fresher: tuple[float, ...] = ()
    """Mean loss of the version before minus that of the new one, each by itself: what being
    fresher brings, without what one more opinion brings."""

    def after(self, gain: float, *, fresher: float) -> Trial:
        """One more window."""
        return self.model_copy(
            update={"gains": (*self.gains, gain), "fresher": (*self.fresher, fresher)}
        )

    @property
    def mean(self) -> float:
        """Mean gain per row."""
        return float(np.mean(self.gains)) if self.gains else 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean; windows are the witnesses, not rows."""
        return _error(self.gains)

    def bounds(self, alpha: float) -> Interval | None:
        """Each bound holds with 1 - alpha at a look fixed beforehand; None of too few windows."""
        if len(self.gains) < LEAST_WINDOWS:
            return None
        width = float(stdtrit(len(self.gains) - 1, 1 - alpha)) * self.error
        return Interval(low=self.mean - width, mean=self.mean, high=self.mean + width)


class Staleness(Value):
    """How fast what is served goes stale, from all trials so far; older ones count less."""

    gain: float = 0.0
    variance: float = 0.0
    alone: float = 0.0
    alone_variance: float = 0.0
    fresher: float = 0.0
    trials: float = 0.0
    """Their number, the older ones discounted."""
    lately: float = 0.0
    """Gain of the newest trials, by ``PACE``."""
    lately_fresher: float = 0.0

    def after(self, trial: Trial) -> Staleness:
        """One more trial that is over."""
        error, alone = _error(trial.gains), _error(trial.fresher)
        if not math.isfinite(error):
            return self
        return Staleness(
            gain=MEMORY * self.gain + trial.mean,
            variance=MEMORY**2 * self.variance + error**2,
            alone=MEMORY * self.alone + float(np.mean(trial.fresher)),
            alone_variance=MEMORY**2 * self.alone_variance + alone**2,
            fresher=MEMORY * self.fresher + trial.fresher_by,
            trials=MEMORY * self.trials + 1.0,
            lately=PACE * self.lately + trial.mean,
            lately_fresher=PACE * self.lately_fresher + trial.fresher_by,
        )

    def is_proved(self, tolerance: float) -> bool:
        """Whether a retrain brings more than ``tolerance``, to what is served or by itself.

        By its mean, which must be more than a standard error: what follows is put on probation.
        """
        least = tolerance * self.trials
        return self.trials > 0 and (
            self.gain > max(least, math.sqrt(self.variance))
            or self.alone > max(least, math.sqrt(self.alone_variance))
        )

    @property
    def rate(self) -> float:
        """Loss per row and row of age, at least 0: what the newest trials say, shrunk by what the
        standard error of all of them leaves of their gain."""
        if self.gain <= 0.0 or not self.lately_fresher:
            return 0.0
        kept = max(0.0, 1.0 - math.sqrt(self.variance) / self.gain)
        return kept * max(0.0, self.lately) / self.lately_fresher

    def best_interval(self, price: float, *, tolerance: float) -> float:
        """Rows between retrains at which staleness and their price together cost least."""
        if not self.is_proved(tolerance) or not self.rate:
            return math.inf
        return math.sqrt(2.0 * price / self.rate)


def _error(values: tuple[float, ...]) -> float:
    """Standard error of a mean; unknown below two values."""
    if len(values) < 2:
        return math.inf
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))
