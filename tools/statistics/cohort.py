"""Is the challenger worse than the champion on the very same matured rows? Three-valued.

Both models' probabilities on one cohort of rows, compared label by label: what the days bring
falls on both. The window is the unit of evidence as in performance.py, and what a bet can lose is
known before the labels, because each row's difference takes one of two values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from pydantic import Field

from tools.statistics.betting import RestartedBets
from tools.statistics.losses import Floats, aligned, clipped, row_loss
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


class CohortProcess(Value):
    """Evidence on challenger against champion, folded over windows."""

    margin: float = Field(default=0.01, ge=0)
    """Mean log loss above the champion's that users do not notice: more is harm, less is not."""
    min_label_rate: float = Field(default=0.8, ge=0, le=1)
    harm: RestartedBets = RestartedBets()
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

    def judge(self, *, alpha: float) -> Judgement:
        """HARMFUL: worse by more than the margin. HEALTHY: worse by less, or better."""
        rate = self.labelled / self.matured if self.matured else 0.0
        figures = {
            "log_e_harm": round(self.harm.log_e, 4),
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
        if self.harm.log_e >= -math.log(alpha):
            reason = f"{shown}: worse by more than {self.margin:.4f} (alpha {alpha:.3g})"
            return Judgement(verdict=Verdict.HARMFUL, reason=reason, figures=figures)
        if self.non_inferior.log_e >= -math.log(alpha):
            reason = f"{shown}: not worse by {self.margin:.4f} (alpha {alpha:.3g})"
            return Judgement(verdict=Verdict.HEALTHY, reason=reason, figures=figures)
        reason = f"{shown}: {self.windows} windows prove neither side of {self.margin:.4f}"
        return Judgement(verdict=Verdict.UNKNOWN, reason=reason, figures=figures)


def pair(challenger: Floats, champion: Floats, label: Floats) -> PairedWindow:
    """One window from both models' probabilities of the same rows; NaN where no label arrived."""
    new, y = aligned(challenger, label)
    old, _ = aligned(champion, label)
    known = ~np.isnan(y)
    new, old, y = clipped(new[known]), clipped(old[known]), y[known]
    if_one, if_zero = np.log(old / new), np.log1p(-old) - np.log1p(-new)
    return PairedWindow(
        matured=len(known),
        labelled=len(y),
        difference=float((row_loss(new, y) - row_loss(old, y)).sum()),
        least=float(np.minimum(if_one, if_zero).sum()),
        most=float(np.maximum(if_one, if_zero).sum()),
    )


def compare_cohorts(
    windows: Iterable[PairedWindow], *, alpha: float, margin: float = 0.01
) -> Judgement:
    """The verdict after all of these windows, in their order."""
    process = CohortProcess.start(margin=margin)
    for window in windows:
        process = process.update(window)
    return process.judge(alpha=alpha)
