"""Does the model still do well on matured labels, and if not, is it the model or the world?

Two questions per model version, each an e-process with restarts over windows:
*degraded*: the mean loss exceeds its reference by more than a tolerance;
*miscalibrated*: the loss exceeds what the model itself expected (the entropy of its probability).
A loss that rises as the model expected (excess near 0) says that the world got harder: retraining
will not help. A loss above the model's own expectation says that the model is wrong: it will.

The window is the unit of evidence, because rows of one window share what the model cannot see (a
storm, a strike): the bets are on window means, which may depend on each other inside a window in
any way. Choose the window so that its rows share such shocks (a day, say) and not much longer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tools.errors import Invalid
from tools.statistics.betting import Interval, RestartedBets, empirical_bernstein
from tools.statistics.verdict import Judgement, Verdict
from tools.values import Value

Floats = NDArray[np.float64]

CLIP = 1e-3
"""Probabilities are read as at least this far from 0 and 1: log loss stays below 6.91, so one
confident mistake is a mistake and not the end of the world."""

LARGEST_LOSS = -math.log(CLIP)
RECENT_WINDOWS = 28
"""How many windows the estimates of the current loss and excess look back."""


class MaturedWindow(Value):
    """What one window of rows, whose labels had time to arrive, came to."""

    matured: int = Field(ge=0)
    """Rows whose label delay has passed, labelled or not."""
    labelled: int = Field(ge=0)
    loss: float = 0.0
    """Sum of log loss over the labelled rows."""
    loss_squares: float = 0.0
    expected: float = 0.0
    """Sum of the entropies of the same rows' probabilities: the loss the model expected."""
    excess_squares: float = 0.0
    """Sum of squares of (loss - entropy)."""
    least_excess: float = 0.0
    """Smallest sum of (loss - entropy) that any labels could have given: what a bet can lose."""


class Cause(StrEnum):
    """What raised the loss, as far as labels tell."""

    NONE = "none"
    MODEL_IS_WRONG = "model-is-wrong"
    WORLD_GOT_HARDER = "world-got-harder"
    UNKNOWN = "unknown"


class PerformanceEvidence(Value):
    """Answers to both questions, with estimates over the recent windows."""

    degraded: Judgement
    miscalibrated: Judgement
    loss: Interval | None
    """Mean log loss of the recent windows' rows."""
    excess: Interval | None
    """Mean loss above the model's own expectation, of the same rows."""
    label_rate: float
    cause: Cause


class PerformanceProcess(Value):
    """Evidence on one model version, folded over windows in the order of their event time."""

    reference_loss: float = Field(ge=0)
    tolerance: float = Field(ge=0)
    """Loss above the reference, and excess, that is not acted on."""
    min_label_rate: float = Field(default=0.8, ge=0, le=1)
    degraded: RestartedBets = RestartedBets()
    miscalibrated: RestartedBets = RestartedBets()
    windows: int = 0
    recent: tuple[MaturedWindow, ...] = ()

    def update(self, window: MaturedWindow) -> PerformanceProcess:
        """The process after one more window; a window short of labels is noted, not bet on."""
        bets = (self.degraded, self.miscalibrated)
        if window.labelled and window.labelled >= self.min_label_rate * window.matured:
            bets = self._bet(window)
        return self.model_copy(
            update={
                "degraded": bets[0],
                "miscalibrated": bets[1],
                "windows": self.windows + 1,
                "recent": (*self.recent, window)[-RECENT_WINDOWS:],
            }
        )

    def _bet(self, window: MaturedWindow) -> tuple[RestartedBets, RestartedBets]:
        bound = self.reference_loss + self.tolerance
        loss = window.loss / window.labelled
        excess = loss - window.expected / window.labelled
        least = window.least_excess / window.labelled
        return (
            self.degraded.update(loss - bound, worst=-bound),
            self.miscalibrated.update(excess - self.tolerance, worst=least - self.tolerance),
        )

    def judge(self, *, alpha: float) -> PerformanceEvidence:
        """May be asked after every window: each question errs with at most alpha over all."""
        matured = sum(window.matured for window in self.recent)
        labelled = sum(window.labelled for window in self.recent)
        rate = labelled / matured if matured else 0.0
        if labelled < 2 or rate < self.min_label_rate:
            reason = f"{labelled:,} of {matured:,} matured rows have a label ({rate:.1%})"
            return _no_answer(f"{reason}: at least {self.min_label_rate:.0%} needed", rate)
        each = alpha / 2.0 * 6.0 / (math.pi * self.windows) ** 2  # holds at every window together
        loss = _interval(self.recent, "loss", each)
        excess = _interval(self.recent, "excess", each)
        degraded = _judged(
            "mean loss", self.degraded, loss, self.reference_loss, self.tolerance, alpha
        )
        miscalibrated = _judged(
            "loss above the model's own expectation",
            self.miscalibrated,
            excess,
            0.0,
            self.tolerance,
            alpha,
        )
        return PerformanceEvidence(
            degraded=degraded,
            miscalibrated=miscalibrated,
            loss=loss,
            excess=excess,
            label_rate=rate,
            cause=_cause(degraded.verdict, miscalibrated.verdict),
        )


class SlicedPerformance(Value):
    """The whole population and named slices of it, under one budget of false alarms."""

    overall: PerformanceProcess
    slices: dict[str, PerformanceProcess] = {}
    """Fixed before the first window; each has its own reference loss."""

    def update(
        self, overall: MaturedWindow, slices: Mapping[str, MaturedWindow]
    ) -> SlicedPerformance:
        """One more window; slices without rows in it stay as they are."""
        unknown = sorted(set(slices) - set(self.slices))
        if unknown:
            raise Invalid(f"not among the slices under watch: {unknown}", field="slices")
        folded = {
            name: process.update(slices[name]) if name in slices else process
            for name, process in self.slices.items()
        }
        return SlicedPerformance(overall=self.overall.update(overall), slices=folded)

    def judge(self, *, alpha: float) -> dict[str, PerformanceEvidence]:
        """Half of alpha for the whole (named ""), the other half split evenly over the slices."""
        whole = alpha / 2.0 if self.slices else alpha
        judged = {"": self.overall.judge(alpha=whole)}
        for name, process in sorted(self.slices.items()):
            judged[name] = process.judge(alpha=alpha / 2.0 / len(self.slices))
        return judged


class LabelFreeEstimate(Value):
    """Expected loss of rows that have no labels yet. An estimate: it never decides by itself."""

    rows: int
    expected: float
    """Mean entropy: what the model expects of itself, right only while it is calibrated."""
    corrected: float | None
    """Plus the excess that recent labels showed; None while there are no labels."""


def summarise(probability: Floats, label: Floats) -> MaturedWindow:
    """The window of these rows; ``label`` is 0 or 1, NaN where none arrived."""
    p, y = _aligned(probability, label)
    known = ~np.isnan(y)
    p, y = clipped(p[known]), y[known]
    loss = row_loss(p, y)
    expected = entropy(p)
    excess = loss - expected
    least = np.minimum(-np.log(p), -np.log1p(-p)) - expected
    return MaturedWindow(
        matured=len(known),
        labelled=len(y),
        loss=float(loss.sum()),
        loss_squares=float((loss**2).sum()),
        expected=float(expected.sum()),
        excess_squares=float((excess**2).sum()),
        least_excess=float(least.sum()),
    )


def estimate_without_labels(
    probability: Floats, process: PerformanceProcess | None = None
) -> LabelFreeEstimate:
    """What the loss of these rows will probably be, before their labels are known."""
    p = np.asarray(probability, dtype=np.float64)
    if p.size == 0 or not bool(np.all((p >= 0.0) & (p <= 1.0))):
        raise Invalid("expected at least one number, all between 0 and 1", field="probability")
    expected = float(entropy(clipped(p)).mean())
    recent = process.recent if process is not None else ()
    labelled = sum(window.labelled for window in recent)
    shown = sum(window.loss - window.expected for window in recent)
    corrected = expected + shown / labelled if labelled else None
    return LabelFreeEstimate(rows=int(p.size), expected=expected, corrected=corrected)


def clipped(probability: Floats) -> Floats:
    """Probabilities kept ``CLIP`` away from certainty."""
    return np.clip(probability, CLIP, 1.0 - CLIP)


def row_loss(probability: Floats, label: Floats) -> Floats:
    """Log loss of each row, in nats."""
    return np.where(label > 0.5, -np.log(probability), -np.log1p(-probability))


def entropy(probability: Floats) -> Floats:
    """The log loss that a model expects when it says this probability."""
    q = 1.0 - probability
    return np.asarray(-probability * np.log(probability) - q * np.log(q), dtype=np.float64)


def _aligned(probability: Floats, label: Floats) -> tuple[Floats, Floats]:
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(label, dtype=np.float64)
    if p.shape != y.shape or p.ndim != 1:
        raise Invalid(f"expected as many as probabilities {p.shape}, got {y.shape}", field="label")
    if not bool(np.all((p >= 0.0) & (p <= 1.0))):
        raise Invalid("expected numbers between 0 and 1", field="probability")
    if not bool(np.all(np.isnan(y) | (y == 0.0) | (y == 1.0))):
        raise Invalid("expected 0, 1 or NaN (no label)", field="label")
    return p, y


def _interval(windows: tuple[MaturedWindow, ...], what: str, alpha: float) -> Interval:
    count = sum(window.labelled for window in windows)
    total = sum(window.loss for window in windows)
    squares = sum(window.loss_squares for window in windows)
    if what == "excess":
        total -= sum(window.expected for window in windows)
        squares = sum(window.excess_squares for window in windows)
    return empirical_bernstein(count, total, squares, span=LARGEST_LOSS, alpha=alpha)


def _judged(
    what: str,
    bets: RestartedBets,
    estimate: Interval,
    reference: float,
    tolerance: float,
    alpha: float,
) -> Judgement:
    figures = {
        "log_e": round(bets.log_e, 4),
        "log_threshold": round(-math.log(alpha), 4),
        "windows": float(bets.steps),
        "recent_low": round(estimate.low, 6),
        "recent_mean": round(estimate.mean, 6),
        "recent_high": round(estimate.high, 6),
        "reference": reference,
        "tolerance": tolerance,
    }
    shown = f"{what} {estimate.mean:.4f} [{estimate.low:.4f}, {estimate.high:.4f}] lately"
    bound = f"{reference:.4f} + {tolerance:.4f}"
    if bets.log_e >= -math.log(alpha):
        reason = f"{shown}: above {bound} is proved over {bets.steps} windows (alpha {alpha:.3g})"
        return Judgement(verdict=Verdict.HARMFUL, reason=reason, figures=figures)
    if estimate.high <= reference + tolerance:
        return Judgement(
            verdict=Verdict.HEALTHY, reason=f"{shown}: within {bound}", figures=figures
        )
    reason = f"{shown}: neither above nor within {bound} is proved"
    return Judgement(verdict=Verdict.UNKNOWN, reason=reason, figures=figures)


def _cause(degraded: Verdict, miscalibrated: Verdict) -> Cause:
    if miscalibrated is Verdict.HARMFUL:
        return Cause.MODEL_IS_WRONG
    if degraded is Verdict.HARMFUL:
        known = miscalibrated is Verdict.HEALTHY
        return Cause.WORLD_GOT_HARDER if known else Cause.UNKNOWN
    return Cause.NONE if degraded is Verdict.HEALTHY else Cause.UNKNOWN


def _no_answer(reason: str, rate: float) -> PerformanceEvidence:
    unknown = Judgement(verdict=Verdict.UNKNOWN, reason=reason, figures={"label_rate": rate})
    return PerformanceEvidence(
        degraded=unknown,
        miscalibrated=unknown,
        loss=None,
        excess=None,
        label_rate=rate,
        cause=Cause.UNKNOWN,
    )
