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
from pydantic import Field

from tools.errors import Invalid
from tools.statistics.betting import Interval, RestartedBets, empirical_bernstein, spent_at
from tools.statistics.cohort import CohortProcess
from tools.statistics.losses import LARGEST_LOSS, Floats, MaturedWindow, clipped, entropy, summarise
from tools.statistics.verdict import Judgement, Verdict
from tools.values import Value

__all__ = ["CohortProcess", "MaturedWindow", "PerformanceProcess", "summarise"]

RECENT_WINDOWS = 28
"""How many windows the estimates of the current loss and excess look back."""


EXCESS = "loss above the model's own expectation"


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
    keeps: int = Field(default=RECENT_WINDOWS, ge=2)
    """How many windows the estimates look back; few where many processes have to be remembered."""
    recent: tuple[MaturedWindow, ...] = ()

    def anew(self) -> PerformanceProcess:
        """An alarm of the loss that was answered is spent; what speaks against the model itself,
        and is not proved yet, goes on counting."""
        return self.model_copy(update={"degraded": RestartedBets()})

    def update(self, window: MaturedWindow) -> PerformanceProcess:
        """The process after one more window; a window short of labels is noted, not bet on."""
        bets = (self.degraded, self.miscalibrated)
        if self._is_usable(window):
            bets = self._bet(window)
        return self.model_copy(
            update={
                "degraded": bets[0],
                "miscalibrated": bets[1],
                "windows": self.windows + 1,
                "recent": (*self.recent, window)[-self.keeps :],
            }
        )

    def _bet(self, window: MaturedWindow) -> tuple[RestartedBets, RestartedBets]:
        bound = self.reference_loss + self.tolerance
        loss = window.loss / window.labelled
        excess = loss - window.expected / window.labelled
        least = window.least_excess / window.labelled
        return (
            # Not what these rows could have lost at least: stakes that grow with hard rows would
            # bet on the season, and a harder window is no proof of a worse model.
            self.degraded.update(loss - bound, worst=-bound),
            self.miscalibrated.update(excess - self.tolerance, worst=least - self.tolerance),
        )

    def judge(self, *, alpha: float) -> PerformanceEvidence:
        """May be asked after every window: each question errs with at most alpha over all."""
        matured = sum(window.matured for window in self.recent)
        labelled = sum(window.labelled for window in self.recent)
        rate = labelled / matured if matured else 0.0
        usable = sum(window.labelled for window in self.usable())
        if usable < 2 or rate < self.min_label_rate:
            reason = f"{labelled:,} of {matured:,} matured rows have a label ({rate:.1%})"
            return _no_answer(f"{reason}: at least {self.min_label_rate:.0%} needed", rate)
        loss, excess = self._estimates(alpha)
        degraded = self._judge("mean loss", self.degraded, loss, self.reference_loss, alpha)
        miscalibrated = self._judge(EXCESS, self.miscalibrated, excess, 0.0, alpha)
        return PerformanceEvidence(
            degraded=degraded,
            miscalibrated=miscalibrated,
            loss=loss,
            excess=excess,
            label_rate=rate,
            cause=self._cause(degraded.verdict, miscalibrated.verdict, loss, excess),
        )

    def _estimates(self, alpha: float) -> tuple[Interval, Interval]:
        """Means over the recent windows' rows, each right at every window with 1 - alpha.

        Rows are taken as independent given what their days brought.
        """
        usable = self.usable()
        count = sum(window.labelled for window in usable)
        loss = sum(window.loss for window in usable)
        excess = loss - sum(window.expected for window in usable)
        squares = sum(window.loss_squares for window in usable)
        excess_squares = sum(window.excess_squares for window in usable)
        spent = alpha * spent_at(self.windows)
        return (
            empirical_bernstein(count, loss, squares, span=LARGEST_LOSS, alpha=spent),
            empirical_bernstein(count, excess, excess_squares, span=LARGEST_LOSS, alpha=spent),
        )

    def _judge(
        self, what: str, bets: RestartedBets, recent: Interval, reference: float, alpha: float
    ) -> Judgement:
        """Harm is proved by the bets alone: they know that windows differ, the interval does not.

        A month of bad days is worse on every row of it without anything having changed for good;
        so the interval, which describes the recent rows, may reassure but not alarm.
        """
        bound = reference + self.tolerance
        figures = {
            "log_e": round(bets.log_e, 4),
            "log_threshold": round(-math.log(alpha), 4),
            "windows": float(bets.steps),
            "recent_low": round(recent.low, 6),
            "recent_mean": round(recent.mean, 6),
            "recent_high": round(recent.high, 6),
            "reference": reference,
            "tolerance": self.tolerance,
        }
        shown = f"{what} {recent.mean:.4f} [{recent.low:.4f}, {recent.high:.4f}] lately"
        limit = f"{reference:.4f} + {self.tolerance:.4f}"
        if recent.high <= bound:  # also when harm was proved earlier: that is over
            reason = f"{shown}: within {limit}"
            return Judgement(verdict=Verdict.HEALTHY, reason=reason, figures=figures)
        if bets.log_e >= -math.log(alpha):
            reason = f"{shown}: a mean above {limit} is proved (alpha {alpha:.3g})"
            return Judgement(verdict=Verdict.HARMFUL, reason=reason, figures=figures)
        reason = f"{shown}: neither above nor within {limit} is proved"
        return Judgement(verdict=Verdict.UNKNOWN, reason=reason, figures=figures)

    def usable(self) -> tuple[MaturedWindow, ...]:
        """The recent windows that have labels enough to count, oldest first."""
        return tuple(window for window in self.recent if self._is_usable(window))

    def _is_usable(self, window: MaturedWindow) -> bool:
        return window.labelled > 0 and window.labelled >= self.min_label_rate * window.matured

    def _cause(
        self, degraded: Verdict, miscalibrated: Verdict, loss: Interval, excess: Interval
    ) -> Cause:
        """The world got harder where the model itself expected most of the rise."""
        if miscalibrated is Verdict.HARMFUL:
            return Cause.MODEL_IS_WRONG
        if degraded is Verdict.HARMFUL:
            rise = loss.mean - self.reference_loss
            expected = excess.high <= max(self.tolerance, rise / 2.0)
            return Cause.WORLD_GOT_HARDER if expected else Cause.UNKNOWN
        return Cause.NONE if degraded is Verdict.HEALTHY else Cause.UNKNOWN


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


def disagreement(evidence: PerformanceEvidence | None, tolerance: float) -> Judgement | None:
    """Whether labels contradict what the model expected of the same rows, in either direction.

    From the interval over the recent rows, which are taken as independent: an early sign of concept
    drift while the bets on whole windows are not decided, and never a proof.
    """
    excess = evidence.excess if evidence is not None else None
    if excess is None:
        return None
    shown = f"labels cost {excess.mean:+.4f} [{excess.low:+.4f}, {excess.high:+.4f}] against the"
    shown = f"{shown} estimate without labels (tolerance {tolerance:g})"
    verdict = Verdict.UNKNOWN
    if excess.low > tolerance or excess.high < -tolerance:
        verdict = Verdict.HARMFUL
    elif -tolerance <= excess.low and excess.high <= tolerance:
        verdict = Verdict.HEALTHY
    return Judgement(verdict=verdict, reason=shown, figures={"excess": round(excess.mean, 6)})


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
