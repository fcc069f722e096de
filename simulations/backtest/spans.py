"""Chooses which past a retrain learns from: the newest rows judge, then they are learned as well.

A stream that keeps still wants all of its rows, one that turned wants those since it turned, one
that drifts something in between, and nobody knows beforehand which of them it is. So each span is
fitted without the newest rows and judged on them, and the best is fitted again with them
(Klinkenberg 2004 chooses windows and weights alike). That is one retrain, as a pipeline with a
model selection in it is one; the stopwatch counts every fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulations.backtest.learner import Fitted, Learner
from simulations.backtest.recording import Floats
from tools.statistics.task_losses import Scale, row_losses

RECENT_ROWS = 2000
"""The span of the baselines too."""
HALF_LIFE_ROWS = 1000.0
"""Between all rows and the newest: rows count 1 / (age + this), so that every octave of age has
equal say. Less where a recording starts with fewer rows."""
SHORT_ROWS = 500
"""Tried while most of the newest rows may be of the world before."""
HELD_OUT_ROWS = 400
HELD_OUT_SHARE = 0.2
"""Of the shortest span, at most, for judging."""
BLOCKS = 10
"""Into which the rows that judge the short span are cut."""


@dataclass(frozen=True)
class Span:
    """Rows to learn from, counted back from the newest one known."""

    rows: int
    half_life: float = 0.0
    """0: all rows count alike."""

    def fit(self, learner: Learner, known: int) -> Fitted:
        """A model of the newest rows before row ``known``."""
        begin = max(0, known - self.rows)
        weights: Floats | None = None
        if self.half_life:
            weights = 1.0 / (np.arange(known - begin, 0, -1.0) + self.half_life)
            weights /= weights.mean()
        return learner.fit(slice(begin, known), weights=weights)


def spans_of(known: int, start: int) -> tuple[Span, ...]:
    """What is compared when so many rows are known, of a recording that starts with ``start``."""
    found = [Span(known), Span(known, min(HALF_LIFE_ROWS, float(start)))]
    return (*found, Span(RECENT_ROWS)) if known > RECENT_ROWS else tuple(found)


def fit_best(learner: Learner, scale: Scale, known: int, *, turned: int | None = None) -> Fitted:
    """Of the spans, the one whose model loses least on rows that it has not seen.

    ``turned``: rows known when harm was last proved; None: never. While most of the newest rows
    may be from before, fewer are tried too.
    """
    spans = spans_of(known, learner.recording.start)
    cut = known - min(HELD_OUT_ROWS, round(HELD_OUT_SHARE * min(s.rows for s in spans)))
    losses = [_losses(learner, scale, span, cut, known).mean() for span in spans]
    best = spans[int(np.argmin(losses))]
    may_be_old = turned is not None and known - turned < RECENT_ROWS < known
    if may_be_old and _is_short_better(learner, scale, best, known):
        best = Span(SHORT_ROWS)
    return best.fit(learner, known)


def _is_short_better(learner: Learner, scale: Scale, best: Span, known: int) -> bool:
    """Whether a span so short that few rows can judge it clearly loses less on them.

    By three standard errors, since it is asked at many retrains; of the means of blocks, since
    neighbouring rows share their fate.
    """
    held_out = round(HELD_OUT_SHARE * SHORT_ROWS)
    cut = known - held_out
    gains = _losses(learner, scale, best, cut, known)
    gains = gains - _losses(learner, scale, Span(SHORT_ROWS), cut, known)
    blocks = gains.reshape(BLOCKS, -1).mean(axis=1)
    return bool(blocks.mean() > 3.0 * blocks.std(ddof=1) / np.sqrt(BLOCKS))


def _losses(learner: Learner, scale: Scale, span: Span, cut: int, known: int) -> Floats:
    labels = learner.recording.labels[cut:known]
    return row_losses(scale, span.fit(learner, cut).predict(cut, known), labels)
