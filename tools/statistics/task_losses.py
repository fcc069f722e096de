"""Losses of rows under any task, in the shape that the evidence on performance takes.

Classification: log loss of the class that came true, ``-ln p``, kept below ``LARGEST_LOSS``; for
two classes it is the log loss of ``losses.py``. Regression: squared error over ``SPANS`` squared
standard deviations of the label, at most 1, so that one outlier is a mistake and not the end of
the world. Every bet needs to know before the label what it can lose: the smallest and largest loss
that any label could give stand beside the loss itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tools.errors import Invalid
from tools.statistics.cohort import PairedWindow
from tools.statistics.losses import CLIP, MaturedWindow
from tools.values import Value

Floats = NDArray[np.float64]

SPANS = 3.0
"""Standard deviations of the label at which a squared error counts in full."""


class Scale(Value):
    """What turns predictions into bounded losses; fixed before the first row is judged."""

    classes: int = 0
    """0: the label is a number."""
    centre: float = 0.0
    deviation: float = 1.0
    guessing: float
    """Mean loss of whoever knows only how often each label occurs (or its mean): the unit in which
    tolerances are comparable between tasks."""


def scale_of(labels: Floats, classes: int) -> Scale:
    """The scale of these labels: class indices, or numbers where ``classes`` is 0."""
    if not len(labels):
        raise Invalid("expected at least one label", field="labels")
    if classes:
        shares = np.bincount(labels.astype(int), minlength=classes) / len(labels)
        seen = shares[shares > 0]
        entropy = float(-(seen * np.log(seen)).sum())
        return Scale(classes=classes, guessing=max(entropy, CLIP))
    deviation = float(np.std(labels)) or 1.0
    centre = float(np.mean(labels))
    off = np.minimum(((labels - centre) / (SPANS * deviation)) ** 2, 1.0)
    return Scale(centre=centre, deviation=deviation, guessing=max(float(off.mean()), CLIP))


def row_losses(scale: Scale, predicted: Floats, labels: Floats) -> Floats:
    """One loss per row; leading axes (versions) are kept.

    ``predicted``: log-probabilities (..., rows, classes) or numbers (..., rows).
    """
    if scale.classes:
        chosen = np.take_along_axis(
            predicted,
            np.broadcast_to(labels.astype(int)[:, None], (*predicted.shape[:-1], 1)),
            axis=-1,
        )[..., 0]
        return np.asarray(np.minimum(-chosen, -np.log(CLIP)))
    off = (predicted - labels) / (SPANS * scale.deviation)
    return np.asarray(np.minimum(off**2, 1.0))


def expected_losses(scale: Scale, predicted: Floats, noise: float) -> Floats:
    """What the model itself expects per row: the entropy of its probabilities; for numbers, which
    come without a spread, ``noise``, the loss that it showed on held-out rows."""
    if scale.classes:
        return np.asarray(-(np.exp(predicted) * predicted).sum(axis=-1))
    return np.full(predicted.shape, noise)


def summarise_task(
    scale: Scale, predicted: Floats, labels: Floats, *, matured: int, noise: float, bias: float
) -> MaturedWindow:
    """A window of labelled rows. ``bias``: excess that held-out rows showed when the model was new,
    which is how far its probabilities are off by construction, not by drift."""
    loss = row_losses(scale, predicted, labels)
    expected = expected_losses(scale, predicted, noise)
    if scale.classes:
        expected = expected + bias
        least = np.minimum(-predicted.max(axis=-1), -np.log(CLIP)) - expected
    else:
        least = -expected
    excess = loss - expected
    return MaturedWindow(
        matured=matured,
        labelled=len(labels),
        loss=float(loss.sum()),
        loss_squares=float((loss**2).sum()),
        expected=float(expected.sum()),
        excess_squares=float((excess**2).sum()),
        least_excess=float(least.sum()),
    )


def pair_task(
    scale: Scale, champion: Floats, challenger: Floats, labels: Floats, *, matured: int
) -> PairedWindow:
    """Challenger minus champion on the same rows, with what any labels could have given."""
    difference = row_losses(scale, challenger, labels) - row_losses(scale, champion, labels)
    if scale.classes:
        ceiling = -np.log(CLIP)
        gaps = np.minimum(-challenger, ceiling) - np.minimum(-champion, ceiling)
        least, most = gaps.min(axis=-1), gaps.max(axis=-1)
    else:
        # The difference of two bounded squares is largest where one of them is at its bound.
        apart = np.abs(challenger - champion) / (SPANS * scale.deviation)
        most = np.minimum(2.0 * apart + apart**2, 1.0)
        least = -most
    return PairedWindow(
        matured=matured,
        labelled=len(labels),
        difference=float(difference.sum()),
        least=float(least.sum()),
        most=float(most.sum()),
    )
