"""Sees joint shifts that no single column shows: a classifier two-sample test.

A linear discriminant on the columns and on their pairwise products learns to tell reference rows
from current ones; what it achieves on rows that it never saw bounds the total variation of the
joint distributions from below (Kim, Ramdas, Singh, Wasserman 2021; Lopez-Paz, Oquab 2017). Two
folds, each scored by the discriminant fitted on the other, each tested at half of alpha: given the
discriminant, the scores of a fold are independent, so DKW bands hold exactly and no permutations
are needed. The rate of false alarms does not depend on the learner; what it can see does: shifts
of single columns, of their spread, and of how two of them go together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tools.statistics.discriminant import Discriminant, together
from tools.statistics.joint_shift import JointShift, Shifted

Floats = NDArray[np.float64]

MAX_ROWS = 5_000
"""Per sample, drawn with the seed: enough for a bound about as wide as the tolerance, and a report
of large files then takes twice as long as without this test, not thirty times."""
MIN_ROWS = 50
_IMPORTANCE_ROWS = 4_000
_EXPLAINING = 5


@dataclass(frozen=True)
class _Fold:
    """One fold: its rows, and how the discriminant of the other fold scored them."""

    rows: pd.DataFrame
    is_current: NDArray[np.bool_]
    scores: Floats
    model: Discriminant


def joint_shift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    numbers: tuple[str, ...],
    categories: tuple[str, ...],
    alpha: float,
    tolerance: float,
    seed: int,
) -> JointShift:
    """Test whether the rows as a whole shifted; deterministic given the seed.

    Columns that are missing everywhere are ignored. Under MIN_ROWS rows the answer is UNKNOWN.
    """
    rng = np.random.default_rng(seed)
    first, second = _sample(reference, rng), _sample(current, rng)
    if min(len(first), len(second)) < MIN_ROWS:
        return _unknown(len(first) + len(second))
    rows = together(first, second, numbers, categories)
    kept = list(rows.columns)
    is_current = np.r_[np.zeros(len(first), bool), np.ones(len(second), bool)]
    if not kept:
        return _unknown(len(rows))
    with _one_thread():
        folds = _cross_fit(rows, is_current, rng)
    gaps = [_gap(fold) for fold in folds]
    lower = max(gap - width for gap, width, _ in _bands(folds, gaps, alpha))
    p_value = min(1.0, 2 * min(p for _, _, p in _bands(folds, gaps, alpha)))
    verdict = Shifted.YES if max(0.0, lower) > tolerance else Shifted.UNKNOWN
    explained = _explain(folds, kept, rng) if p_value <= alpha else {}
    return JointShift(
        verdict=verdict,
        p_value=p_value,
        distance=float(np.mean(gaps)),
        lower=max(0.0, lower),
        auc=float(np.mean([_auc(f.scores, f.is_current) for f in folds])),
        explained_by=explained,
        rows_used=len(rows),
    )


def _one_thread() -> Any:
    """On products this small, threads of a busy machine wait longer than they save."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def _unknown(rows: int) -> JointShift:
    return JointShift(
        verdict=Shifted.UNKNOWN,
        p_value=1.0,
        distance=0.0,
        lower=0.0,
        auc=0.5,
        explained_by={},
        rows_used=rows,
    )


def _sample(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    if len(frame) <= MAX_ROWS:
        return frame
    return frame.iloc[np.sort(rng.choice(len(frame), MAX_ROWS, replace=False))]


def _cross_fit(
    rows: pd.DataFrame, is_current: NDArray[np.bool_], rng: np.random.Generator
) -> list[_Fold]:
    side = np.zeros(len(rows), dtype=bool)
    for sample in (~is_current, is_current):
        where = np.flatnonzero(sample)
        side[rng.permutation(where)[: len(where) // 2]] = True
    folds = []
    for test in (side, ~side):
        model = Discriminant.fit(rows[~test], is_current[~test])
        unseen = rows[test]
        folds.append(_Fold(unseen, is_current[test], model.score(unseen), model))
    return folds


def _gap(fold: _Fold) -> float:
    """Largest excess of the reference's distribution function of scores over the current's."""
    before = np.sort(fold.scores[~fold.is_current])
    now = np.sort(fold.scores[fold.is_current])
    at = np.concatenate([before, now])
    excess = np.searchsorted(before, at, side="right") / len(before)
    excess = excess - np.searchsorted(now, at, side="right") / len(now)
    return max(0.0, float(excess.max()))


def _bands(folds: list[_Fold], gaps: list[float], alpha: float) -> list[tuple[float, float, float]]:
    """Gap, width at alpha / 2, and a bound of the p-value, per fold.

    One-sided DKW for each sample: the gap exceeds its true value by e with probability at most
    2 exp(-2 (e / (1/sqrt n + 1/sqrt m))^2).
    """
    found = []
    for fold, gap in zip(folds, gaps, strict=True):
        m = int(fold.is_current.sum())
        root = 1 / math.sqrt(len(fold.is_current) - m) + 1 / math.sqrt(m)
        width = math.sqrt(math.log(2 / (alpha / 2)) / 2) * root
        found.append((gap, width, min(1.0, 2 * math.exp(-2 * (gap / root) ** 2))))
    return found


def _auc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))


def _explain(folds: list[_Fold], names: list[str], rng: np.random.Generator) -> dict[str, float]:
    """How much AUC is lost when a column is shuffled among unseen rows, averaged over the folds."""
    losses = np.zeros(len(names))
    for fold in folds:
        some = rng.permutation(len(fold.rows))[:_IMPORTANCE_ROWS]
        rows, positive = fold.rows.iloc[some], fold.is_current[some]
        if positive.all() or not positive.any():
            continue
        whole = _auc(fold.model.score(rows), positive)
        for i, name in enumerate(names):
            shuffled = rows.assign(**{name: rows[name].to_numpy()[rng.permutation(len(rows))]})
            losses[i] += (whole - _auc(fold.model.score(shuffled), positive)) / len(folds)
    ranked = sorted(zip(names, losses.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return {name: round(loss, 4) for name, loss in ranked[:_EXPLAINING] if loss > 0.005}
