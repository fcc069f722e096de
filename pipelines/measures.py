"""How good predictions are: figures, their uncertainty per row, calibration and slices.

Every gated figure comes with its influence values: what each row adds to it, to first order, with
mean zero. The standard error of a figure, or of the difference of two figures on the same rows, is
then the standard deviation of (the difference of) influence values over the root of the rows. For
means this is the t interval, for ratios the delta method, for ROC AUC the structural components of
DeLong, DeLong & Clarke-Pearson (Biometrics 1988).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

METRICS = ("log_loss", "brier", "roc_auc", "accuracy", "f1", "precision", "recall")
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece"})
THRESHOLD = 0.5
_SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1, the resolution of the float32 that is served."""
_BINS = 10


class Figure:
    """A figure over some rows and the influence of each row on it (None: not estimable)."""

    def __init__(self, value: float, influence: Floats | None) -> None:
        self.value = value
        self.influence = influence


def row_log_loss(probabilities: Floats, labels: Floats) -> Floats:
    """Logarithmic loss of each row, natural logarithm, always finite."""
    clipped = np.clip(probabilities, _SMALLEST, 1 - _SMALLEST)
    return np.where(labels == 1, -np.log(clipped), -np.log1p(-clipped))


def entropy(probabilities: Floats) -> Floats:
    """Entropy of each predicted distribution: the log loss that the model itself expects."""
    p = np.clip(probabilities, _SMALLEST, 1 - _SMALLEST)
    return -(p * np.log(p) + (1 - p) * np.log1p(-p))


def figure(metric: str, probabilities: Floats, labels: Floats) -> Figure:
    """One of ``METRICS`` with its influence values; ``labels`` are 0 or 1."""
    positive = probabilities >= THRESHOLD
    hits = (positive & (labels == 1)).astype(float)
    match metric:
        case "log_loss":
            return _mean(row_log_loss(probabilities, labels))
        case "brier":
            return _mean((probabilities - labels) ** 2)
        case "accuracy":
            return _mean((positive == (labels == 1)).astype(float))
        case "precision":
            return _ratio(hits, positive.astype(float))
        case "recall":
            return _ratio(hits, labels)
        case "f1":
            return _ratio(2 * hits, positive + labels)
        case "roc_auc":
            return _auc(probabilities, labels)
    raise AssertionError(f"no such metric: {metric}")


def figures(probabilities: Floats, labels: Floats) -> dict[str, float]:
    """All ``METRICS``, the calibration error, rows and label rate."""
    values = {name: figure(name, probabilities, labels).value for name in METRICS}
    values["ece"] = calibration_error(probabilities, labels)
    values["rows"] = float(len(labels))
    values["label_rate"] = float(labels.mean())
    return values


def baseline(label_rate: float, labels: Floats) -> dict[str, float]:
    """Figures of always predicting the label rate of the training rows."""
    return figures(np.full(len(labels), label_rate), labels)


def calibration_curve(probabilities: Floats, labels: Floats) -> list[dict[str, float]]:
    """Per tenth of the probability scale that holds rows: mean prediction, observed rate, rows."""
    bins = np.minimum((probabilities * _BINS).astype(int), _BINS - 1)
    curve = []
    for index in range(_BINS):
        inside = bins == index
        if inside.any():
            curve.append({
                "predicted": float(probabilities[inside].mean()),
                "observed": float(labels[inside].mean()),
                "rows": float(inside.sum()),
            })  # fmt: skip
    return curve


def calibration_error(probabilities: Floats, labels: Floats) -> float:
    """Expected calibration error over ten equal bins (Naeini et al., AAAI 2015)."""
    curve = calibration_curve(probabilities, labels)
    gaps = [abs(each["predicted"] - each["observed"]) * each["rows"] for each in curve]
    return sum(gaps) / len(labels)


def roc_curve(probabilities: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates, from (0, 0) to (1, 1), ties taken together."""
    order = np.argsort(-probabilities, kind="stable")
    sorted_labels = labels[order]
    last_of_tie = np.append(np.diff(probabilities[order]) != 0, True)
    true = np.cumsum(sorted_labels)[last_of_tie]
    false = np.cumsum(1 - sorted_labels)[last_of_tie]
    zero = np.zeros(1)
    return (
        np.concatenate([zero, false / max(false[-1], 1)]),
        np.concatenate([zero, true / max(true[-1], 1)]),
    )


def _mean(values: Floats) -> Figure:
    mean = float(values.mean())
    return Figure(mean, values - mean)


def _ratio(numerators: Floats, denominators: Floats) -> Figure:
    base = float(denominators.mean())
    if base == 0:
        return Figure(0.0, None)
    ratio = float(numerators.mean()) / base
    return Figure(ratio, (numerators - ratio * denominators) / base)


def _auc(probabilities: Floats, labels: Floats) -> Figure:
    positive = labels == 1
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return Figure(math.nan, None)
    ranks = _ranks(probabilities)
    beaten = np.empty(len(labels))
    beaten[positive] = (ranks[positive] - _ranks(probabilities[positive])) / others
    beaten[~positive] = 1 - (ranks[~positive] - _ranks(probabilities[~positive])) / count
    auc = float(beaten[positive].mean())
    share = np.where(positive, count, others) / len(labels)
    return Figure(auc, (beaten - auc) / share)


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, ties sharing their mean. scipy.stats has it too, for a second of import."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks
