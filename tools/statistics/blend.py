"""Divides the say between versions that are kept: by what each of them lost lately, and no refit.

A stream drifts at a speed that nobody knows, so the newest version is not always the best one and
an old one may come back into its own. Weights that fall exponentially with the discounted loss
follow whichever is right (Littlestone & Warmuth 1994; Herbster & Warmuth 1998 for the discount).
Beside each version as it is, stand the same with its level corrected by the labels of the last
rows: when only the base rate moved, that is all that is wrong (Saerens, Latinne & Decaestecker
2002, with labels in place of their estimate).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tools.statistics.task_losses import Scale

Floats = NDArray[np.float64]

DISCOUNT = 0.9
"""Per window: what a version lost ten windows ago counts a third."""
RATE = 2.0
"""How sharply weights follow losses, per window and loss of guessing. Small: rows of a window share
what nobody could see, so a window is far from as many independent witnesses as it has rows."""
PRIOR_ROWS = 10.0
"""Rows' worth of belief that the level is right as it is."""
CHANCE = 2.0
"""Squared deviations, per degree of freedom and in units of chance, that are no reason to correct:
what a parameter must bring to pay for itself (Akaike 1974). Beyond them the correction is shrunk by
their share (James & Stein 1961), so that a level that is right is left alone."""
_ROUNDS = 4
LEAST_ROWS = 20
"""Fewer labels say nothing about a level."""


def weights(losses: Floats, scale: Scale) -> Floats:
    """Shares that add up to 1, from discounted sums of mean losses per window."""
    power = RATE * (losses - losses.min()) / scale.guessing
    raw = np.exp(-np.minimum(power, 500.0))
    return np.asarray(raw / raw.sum())


def level(scale: Scale, predicted: Floats, labels: Floats) -> Floats:
    """What to add so that the predictions agree with these labels on average, shrunk to nothing
    where labels are few: one number per class, or one."""
    size = max(scale.classes, 1)
    if len(labels) < LEAST_ROWS:
        return np.zeros(size)
    if not scale.classes:
        off = labels - predicted
        chance = float(np.var(off)) / len(off)
        kept = _kept(float(off.mean()) ** 2, chance)
        return np.array([kept * float(off.sum()) / (len(off) + PRIOR_ROWS)])
    seen = np.bincount(labels.astype(int), minlength=size).astype(float)
    believed = np.exp(predicted).mean(axis=0)
    had = len(labels) * believed
    kept = _kept(float(((seen - had) ** 2 / (had + 1e-9)).sum()), size - 1.0)
    if not kept:
        return np.zeros(size)
    wanted = seen + PRIOR_ROWS * believed
    found = np.zeros(size)
    for _ in range(_ROUNDS):
        moved = normalised(predicted + found)
        had = np.exp(moved).sum(axis=0) * (len(labels) + PRIOR_ROWS) / len(labels)
        found += np.log((wanted + 1e-6) / (had + 1e-6))
    return np.asarray(kept * (found - found.mean()))


def _kept(deviation: float, chance: float) -> float:
    """The share of a correction that is not chance."""
    return max(0.0, 1.0 - CHANCE * chance / deviation) if deviation > 0 else 0.0


def normalised(scores: Floats) -> Floats:
    """Log-probabilities from any scores, over the last axis."""
    top = scores.max(axis=-1, keepdims=True)
    return np.asarray(scores - top - np.log(np.exp(scores - top).sum(axis=-1, keepdims=True)))


def blended(scale: Scale, predicted: Floats, shares: Floats) -> Floats:
    """One prediction from many: the mean of numbers, the normalised geometric mean of
    probabilities. ``predicted`` has one version per entry of its first axis."""
    mean = np.tensordot(shares, predicted, axes=1)
    return normalised(mean) if scale.classes else np.asarray(mean)
