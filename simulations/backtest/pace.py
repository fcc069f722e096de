"""When a retrain is due that no proved harm asks for: it pays, or there is much that is new."""

from __future__ import annotations

from simulations.backtest.deciding import VOLUME
from tools.statistics.task_losses import Scale
from tools.statistics.worth import Staleness, Trial

WORTH = "worth"
"""Trigger: what earlier retrains brought says that the next one pays by now."""
PRICE_ROWS = 5.0
"""What a retrain costs: the loss of so many rows answered by guessing."""
GROWTH = 0.25
VOLUME_ROWS = 10_000
"""New rows after which a new model is tried whatever the evidence; earlier where they are a quarter
of those it began with. The wait doubles with every try that did not pay, up to MOST_PATIENCE."""
MOST_PATIENCE = 4.0
PROOFS = 2
"""Challengers that won in shadow before retrains go by a schedule: one win may be what more rows of
the same world bring. Proved harm is enough by itself, as is a win proved to be noticed."""
EVERY_WINDOWS = 22
SAVED = 6.0
"""Of retrains that pay: one per so many windows in the long run, and so many close together after
a quiet time. Where the world turns all the time each one pays, and nothing else would be done."""


class Pace:
    """See the module."""

    def __init__(self, scale: Scale, *, tolerance: float, start: int) -> None:
        """``tolerance``: loss per row that users do not notice; ``start``: rows to begin with."""
        self._scale = scale
        self._tolerance = tolerance
        self._start = start
        self._staleness = Staleness()
        self._patience = 1.0
        self._saved = SAVED
        self._proofs = 0

    @property
    def volume(self) -> float:
        """New rows after which a new model is tried whatever the evidence."""
        return min(VOLUME_ROWS, self._patience * GROWTH * self._start)

    def pass_window(self) -> None:
        """One more window was served."""
        self._saved = min(self._saved + 1.0 / EVERY_WINDOWS, SAVED)

    def due(self, new: int, *, beside: int) -> tuple[str, str] | None:
        """Trigger and reason, with ``new`` labelled rows ``beside`` those that the version saw."""
        interval = self._staleness.best_interval(
            PRICE_ROWS * self._scale.guessing, tolerance=self._tolerance
        )
        if new >= interval and self._saved >= 1.0 and self._proofs >= PROOFS:
            rate = self._staleness.rate / self._scale.guessing
            return WORTH, (
                f"{new:,} new rows; earlier retrains say that an ageing version loses"
                f" {1000 * rate:.2%} of guessing per 1,000 rows: every {interval:,.0f} rows pays"
            )
        if new >= self.volume:
            return VOLUME, f"{new:,} new labelled rows beside the {beside:,} it has seen"
        return None

    def spend(self, trigger: str) -> None:
        """A retrain was begun."""
        if trigger == WORTH:
            self._saved -= 1.0
        elif trigger != VOLUME:
            self._proofs = PROOFS

    def learn(self, trial: Trial) -> None:
        """A retrain was compared with doing without it, for as long as that is done."""
        self._staleness = self._staleness.after(trial)

    def judge_volume(self, *, is_better: bool, is_notable: bool = False) -> None:
        """Whether what was tried because much was new proved better, and by what users notice."""
        self._patience = 1.0 if is_better else min(2.0 * self._patience, MOST_PATIENCE)
        self._proofs += PROOFS if is_notable else int(is_better)
