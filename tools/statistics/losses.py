"""Losses of rows against what the model itself expected of them, and their sums over a window."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tools.errors import Invalid
from tools.values import Value

Floats = NDArray[np.float64]

CLIP = 1e-3
"""Probabilities are read as at least this far from 0 and 1: log loss stays below 6.91, so one
confident mistake is a mistake and not the end of the world."""

LARGEST_LOSS = -math.log(CLIP)


class MaturedWindow(Value):
    """What one window of rows, whose labels had time to arrive, came to."""

    matured: int = Field(ge=0)
    """Rows whose label delay has passed, labelled or not."""
    labelled: int = Field(ge=0)
    positives: int = Field(default=0, ge=0)
    """Labelled rows whose label is 1."""
    loss: float = 0.0
    """Sum of log loss over the labelled rows."""
    loss_squares: float = 0.0
    expected: float = 0.0
    """Sum of the entropies of the same rows' probabilities: the loss the model expected."""
    excess_squares: float = 0.0
    """Sum of squares of (loss - entropy)."""
    least_excess: float = 0.0
    """Smallest sum of (loss - entropy) that any labels could have given: what a bet can lose."""


def summarise(probability: Floats, label: Floats) -> MaturedWindow:
    """The window of these rows; ``label`` is 0 or 1, NaN where none arrived."""
    p, y = aligned(probability, label)
    known = ~np.isnan(y)
    p, y = clipped(p[known]), y[known]
    loss = row_loss(p, y)
    expected = entropy(p)
    excess = loss - expected
    least = np.minimum(-np.log(p), -np.log1p(-p)) - expected
    return MaturedWindow(
        matured=len(known),
        labelled=len(y),
        positives=int(y.sum()),
        loss=float(loss.sum()),
        loss_squares=float((loss**2).sum()),
        expected=float(expected.sum()),
        excess_squares=float((excess**2).sum()),
        least_excess=float(least.sum()),
    )


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


def aligned(probability: Floats, label: Floats) -> tuple[Floats, Floats]:
    """Both as arrays of floats. Raises Invalid where they are no probabilities and labels."""
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(label, dtype=np.float64)
    if p.shape != y.shape or p.ndim != 1:
        raise Invalid(f"expected as many as probabilities {p.shape}, got {y.shape}", field="label")
    if not bool(np.all((p >= 0.0) & (p <= 1.0))):
        raise Invalid("expected numbers between 0 and 1", field="probability")
    if not bool(np.all(np.isnan(y) | (y == 0.0) | (y == 1.0))):
        raise Invalid("expected 0, 1 or NaN (no label)", field="label")
    return p, y
