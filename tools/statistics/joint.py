"""Sees joint shifts that no single column shows: a classifier two-sample test.

A gradient boosting learns to tell reference rows from current ones; what it achieves on rows that
it never saw bounds the total variation of the joint distributions from below (Kim, Ramdas, Singh,
Wasserman 2021; Lopez-Paz, Oquab 2017). Two folds, each scored by the classifier fitted on the
other, each tested at half of alpha: given the classifier, the scores of a fold are independent, so
DKW bands hold exactly and no permutations are needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tools.statistics.joint_shift import JointShift, Shifted
from tools.statistics.profile import as_floats

Floats = NDArray[np.float64]

MAX_ROWS = 10_000
"""Per sample; beyond it the bound is much narrower than any tolerance, and time is better spent."""
MIN_ROWS = 50
MAX_CATEGORIES = 200
_IMPORTANCE_ROWS = 4_000
_EXPLAINING = 5
_LARGEST = 1e300


@dataclass(frozen=True)
class _Fold:
    """One fold: its rows, and how the classifier of the other fold scored them."""

    rows: Floats
    is_current: NDArray[np.bool_]
    scores: Floats
    model: Any


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
    rows, names, category_mask = _encode(first, second, numbers, categories)
    is_current = np.r_[np.zeros(len(first), bool), np.ones(len(second), bool)]
    if not names:
        return _unknown(len(rows))
    with _one_thread():
        folds = _cross_fit(rows, is_current, category_mask, rng, seed)
    gaps = [_gap(fold) for fold in folds]
    lower = max(gap - width for gap, width, _ in _bands(folds, gaps, alpha))
    p_value = min(1.0, 2 * min(p for _, _, p in _bands(folds, gaps, alpha)))
    verdict = Shifted.YES if max(0.0, lower) > tolerance else Shifted.UNKNOWN
    with _one_thread():
        explained = _explain(folds, names, rng) if p_value <= alpha else {}
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
    """OpenMP threads of a busy machine wait for each other far longer than they save here."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="openmp")


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


def _encode(
    first: pd.DataFrame,
    second: pd.DataFrame,
    numbers: tuple[str, ...],
    categories: tuple[str, ...],
) -> tuple[Floats, list[str], list[bool]]:
    """Both samples' columns as floats, NaN for missing; categories as codes, rare ones together."""
    columns, names, mask = [], [], []
    for name in numbers:
        values = np.concatenate([as_floats(first[name]), as_floats(second[name])])
        if not np.isnan(values).all():
            columns.append(np.clip(values, -_LARGEST, _LARGEST))
            names.append(name)
            mask.append(False)
    for name in categories:
        text = pd.concat([first[name].astype("string"), second[name].astype("string")])
        if text.isna().all():
            continue
        frequent = list(text.value_counts().index[:MAX_CATEGORIES])
        codes = pd.Categorical(text, categories=frequent).codes.astype(float)
        codes[codes < 0] = MAX_CATEGORIES
        columns.append(np.where(text.isna().to_numpy(), np.nan, codes))
        names.append(name)
        mask.append(True)
    empty = np.empty((len(first) + len(second), 0))
    return np.column_stack(columns) if columns else empty, names, mask


def _cross_fit(
    rows: Floats,
    is_current: NDArray[np.bool_],
    category_mask: list[bool],
    rng: np.random.Generator,
    seed: int,
) -> list[_Fold]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    side = np.zeros(len(rows), dtype=bool)
    for sample in (~is_current, is_current):
        where = np.flatnonzero(sample)
        side[rng.permutation(where)[: len(where) // 2]] = True
    folds = []
    for test in (side, ~side):
        model = HistGradientBoostingClassifier(
            max_iter=40,
            learning_rate=0.1,
            max_leaf_nodes=15,
            min_samples_leaf=20,
            early_stopping=False,
            class_weight="balanced",
            categorical_features=category_mask if any(category_mask) else None,
            random_state=seed,
        ).fit(rows[~test], is_current[~test])
        scores = np.asarray(model.predict_proba(rows[test])[:, 1])
        folds.append(_Fold(rows[test], is_current[test], scores, model))
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
        rows, positive = fold.rows[some], fold.is_current[some]
        if positive.all() or not positive.any():
            continue
        whole = _auc(np.asarray(fold.model.predict_proba(rows)[:, 1]), positive)
        for i in range(len(names)):
            shuffled = rows.copy()
            shuffled[:, i] = rng.permutation(shuffled[:, i])
            scores = np.asarray(fold.model.predict_proba(shuffled)[:, 1])
            losses[i] += (whole - _auc(scores, positive)) / len(folds)
    ranked = sorted(zip(names, losses.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return {name: round(loss, 4) for name, loss in ranked[:_EXPLAINING] if loss > 0.005}
