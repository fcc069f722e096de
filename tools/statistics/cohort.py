"""Is the challenger worse than the champion on the very same matured rows? Three-valued.

Both models' probabilities on one cohort of rows, compared label by label: what the days bring
falls on both, and what a bet can lose is known before the labels, because each row's difference
takes one of two values. Harm is asked twice with one error budget: half of the wealth bets on
windows as in performance.py, half on single rows (row_bets.py), which decide far sooner. The mean
of two e-processes is one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from tools.statistics.betting import RestartedBets
from tools.statistics.losses import Floats, aligned, clipped, row_loss
from tools.statistics.row_bets import RowBets
from tools.statistics.verdict import Judgement, Verdict
from tools.values import Value


class PairedWindow(Value):
    """One window of matured rows under both models; differences are challenger minus champion."""

    matured: int = Field(ge=0)
    labelled: int = Field(ge=0)
    difference: float = 0.0
    """Sum over the labelled rows of the difference in log loss."""
    least: float = 0.0
    """Smallest sum that any labels could have given."""
    most: float = 0.0
    """Largest sum that any labels could have given."""


DAY_SHIFT = 1.0
"""Log odds by which a day may move all of its rows alike without one row being a bet too many:
what such a day would add to the mean difference is added to the bound of the bets on rows. Models
that differ by more than their overall level are hardly touched by it."""


class CohortProcess(Value):
    """Evidence on challenger against champion, folded over windows."""

    margin: float = Field(default=0.01, ge=0)
    """Mean log loss above the champion's that users do not notice: more is harm, less is not."""
    min_label_rate: float = Field(default=0.8, ge=0, le=1)
    harm: RestartedBets = RestartedBets()
    row_harm: RowBets = RowBets()
    non_inferior: RestartedBets = RestartedBets()
    windows: int = 0
    matured: int = 0
    labelled: int = 0
    difference: float = 0.0
    """Sum over all labelled rows."""

    @classmethod
    def start(cls, *, margin: float = 0.01, min_label_rate: float = 0.8) -> CohortProcess:
        """Before the first window."""
        return cls(margin=margin, min_label_rate=min_label_rate)

    def update(self, window: PairedWindow) -> CohortProcess:
        """The process after one more window; a window short of labels is counted, not bet on."""
        harm, non_inferior = self.harm, self.non_inferior
        if window.labelled and window.labelled >= self.min_label_rate * window.matured:
            mean, least, most = (
                total / window.labelled for total in (window.difference, window.least, window.most)
            )
            harm = harm.update(mean - self.margin, worst=least - self.margin)
            non_inferior = non_inferior.update(self.margin - mean, worst=self.margin - most)
        return self.model_copy(
            update={
                "harm": harm,
                "non_inferior": non_inferior,
                "windows": self.windows + 1,
                "matured": self.matured + window.matured,
                "labelled": self.labelled + window.labelled,
                "difference": self.difference + window.difference,
            }
        )

    def count(self, challenger: Floats, champion: Floats, label: Floats) -> CohortProcess:
        """The process after the rows of one more window, which are bet on one by one as well."""
        window = pair(challenger, champion, label)
        counted = self.update(window)
        if counted.harm.steps == self.harm.steps:
            return counted  # short of labels
        rows = _RowDifferences.of(challenger, champion, label)
        bound = self.margin + rows.of_a_day
        bets = self.row_harm.update(rows.shown - bound, rows.least - bound)
        return counted.model_copy(update={"row_harm": bets})

    @property
    def log_e_harm(self) -> float:
        """Log of the evidence for harm: of windows and rows together, where rows were counted."""
        if not self.row_harm.rows:
            return self.harm.log_e
        return float(np.logaddexp(self.harm.log_e, self.row_harm.log_e)) - math.log(2.0)

    def judge(self, *, alpha: float) -> Judgement:
        """HARMFUL: worse by more than the margin. HEALTHY: worse by less, or better."""
        rate = self.labelled / self.matured if self.matured else 0.0
        figures = {
            "log_e_harm": round(self.log_e_harm, 4),
            "log_e_non_inferior": round(self.non_inferior.log_e, 4),
            "log_threshold": round(-math.log(alpha), 4),
            "windows": float(self.windows),
            "rows": float(self.labelled),
            "label_rate": round(rate, 6),
            "margin": self.margin,
        }
        if not self.labelled or rate < self.min_label_rate:
            reason = f"{self.labelled:,} of {self.matured:,} matured rows have a label"
            return Judgement(verdict=Verdict.UNKNOWN, reason=reason, figures=figures)
        mean = self.difference / self.labelled
        figures["mean_difference"] = round(mean, 6)
        shown = f"challenger minus champion {mean:+.4f} on {self.labelled:,} rows"
        if self.log_e_harm >= -math.log(alpha):
            reason = f"{shown}: worse by more than {self.margin:.4f} (alpha {alpha:.3g})"
            return Judgement(verdict=Verdict.HARMFUL, reason=reason, figures=figures)
        if self.non_inferior.log_e >= -math.log(alpha):
            reason = f"{shown}: not worse by {self.margin:.4f} (alpha {alpha:.3g})"
            return Judgement(verdict=Verdict.HEALTHY, reason=reason, figures=figures)
        reason = f"{shown}: {self.windows} windows prove neither side of {self.margin:.4f}"
        return Judgement(verdict=Verdict.UNKNOWN, reason=reason, figures=figures)


def pair(challenger: Floats, champion: Floats, label: Floats) -> PairedWindow:
    """One window from both models' probabilities of the same rows; NaN where no label arrived."""
    rows = _RowDifferences.of(challenger, champion, label)
    return PairedWindow(
        matured=len(label),
        labelled=len(rows.shown),
        difference=float(rows.shown.sum()),
        least=float(rows.least.sum()),
        most=float(rows.most.sum()),
    )


@dataclass(frozen=True)
class _RowDifferences:
    """Challenger minus champion per labelled row: as it is, and as any label could make it."""

    shown: Floats
    least: Floats
    most: Floats
    of_a_day: float
    """Mean difference that a day of DAY_SHIFT would bring by itself, the champion being right."""

    @classmethod
    def of(cls, challenger: Floats, champion: Floats, label: Floats) -> _RowDifferences:
        new, y = aligned(challenger, label)
        old, _ = aligned(champion, label)
        known = ~np.isnan(y)
        new, old, y = clipped(new[known]), clipped(old[known]), y[known]
        if_one, if_zero = np.log(old / new), np.log1p(-old) - np.log1p(-new)
        odds = np.log(old) - np.log1p(-old)
        days = (1.0 / (1.0 + np.exp(-(odds + shift))) - old for shift in (DAY_SHIFT, -DAY_SHIFT))
        moved = [float(((if_one - if_zero) * day).mean()) if len(y) else 0.0 for day in days]
        return cls(
            of_a_day=max(0.0, *moved),
            shown=row_loss(new, y) - row_loss(old, y),
            least=np.minimum(if_one, if_zero),
            most=np.maximum(if_one, if_zero),
        )


def compare_cohorts(
    windows: Iterable[PairedWindow], *, alpha: float, margin: float = 0.01
) -> Judgement:
    """The verdict after all of these windows, in their order."""
    process = CohortProcess.start(margin=margin)
    for window in windows:
        process = process.update(window)
    return process.judge(alpha=alpha)
