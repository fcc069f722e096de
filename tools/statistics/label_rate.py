"""Did the rate of positive labels move away from the reference's, by more than a tolerance?

Days differ for reasons that no column shows, so rows of a day are not independent: counts are
divided by a design effect (Kish 1965) estimated from the differences of neighbouring windows (von
Neumann et al. 1941), which one lasting change of level hardly touches. With effective counts n and
m, Hoeffding's bound for a difference of two means gives the band; the division makes it an
approximation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tools.errors import Invalid
from tools.statistics.bands import points_width
from tools.statistics.losses import MaturedWindow
from tools.statistics.verdict import Judgement, Verdict
from tools.values import Value

SPANS = (16, 4, 1)
"""How many of the newest windows are compared with the reference, each way at a third of alpha."""


class LabelRate(Value):
    """The reference's rate of positive labels, and the rows that it was counted over."""

    rows: int
    rate: float


def judge_label_rate(
    windows: Sequence[MaturedWindow], reference: LabelRate, *, tolerance: float, alpha: float
) -> Judgement:
    """HARMFUL: moved by more than ``tolerance``; HEALTHY: by less. Windows in order of event time,
    each with enough labels to count."""
    if not 0.0 < alpha < 1.0:
        raise Invalid(f"expected a number between 0 and 1, got {alpha}", field="alpha")
    if len(windows) < 2 or reference.rows < 1:
        reason = f"{len(windows)} windows with labels, at least 2 needed"
        return Judgement(verdict=Verdict.UNKNOWN, reason=reason)
    effect = _design_effect(windows)
    judged = [
        _compare(windows[-span:], reference, tolerance, alpha / len(SPANS), effect)
        for span in SPANS
        if span <= len(windows)
    ]
    for verdict in (Verdict.HARMFUL, Verdict.HEALTHY):
        for judgement in judged:
            if judgement.verdict is verdict:
                return judgement
    return judged[0]


def _compare(
    windows: Sequence[MaturedWindow],
    reference: LabelRate,
    tolerance: float,
    alpha: float,
    effect: float,
) -> Judgement:
    labelled = sum(window.labelled for window in windows)
    rate = sum(window.positives for window in windows) / labelled
    width = points_width(reference.rows / effect, labelled / effect, alpha, 1)
    moved = rate - reference.rate
    figures = {
        "rate": round(rate, 6),
        "reference": round(reference.rate, 6),
        "width": round(width, 6),
        "design_effect": round(effect, 4),
        "windows": float(len(windows)),
        "tolerance": tolerance,
    }
    reason = (
        f"{rate:.1%} of {labelled:,} labels are positive, {reference.rate:.1%} in the reference: "
        f"moved by {moved:+.3f}, at least {max(0.0, abs(moved) - width):.3f} "
        f"(tolerance {tolerance:g})"
    )
    if abs(moved) - width > tolerance:
        return Judgement(verdict=Verdict.HARMFUL, reason=reason, figures=figures)
    verdict = Verdict.HEALTHY if abs(moved) + width <= tolerance else Verdict.UNKNOWN
    return Judgement(verdict=verdict, reason=reason, figures=figures)


def _design_effect(windows: Sequence[MaturedWindow]) -> float:
    """How much more neighbouring windows differ than independent rows would, at least 1."""
    counts = np.array([window.labelled for window in windows], dtype=float)
    hits = np.array([window.positives for window in windows], dtype=float)
    overall = float(hits.sum() / counts.sum())
    spread = overall * (1.0 - overall)
    if spread <= 0.0:
        return 1.0
    steps = np.diff(hits / counts)
    expected = spread * (1.0 / counts[1:] + 1.0 / counts[:-1])
    return max(1.0, float(np.mean(steps**2 / expected)))
