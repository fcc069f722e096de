"""What evidence about a version is later judged against, kept with the version."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pipelines.gates import MIN_SLICE_ROWS
from pipelines.measures import entropy, row_log_loss
from tools.schema import FeatureSchema
from tools.served_profile import LABEL, SCORE, reference_of
from tools.time_features import parse_times

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MOST_SLICES = 24
"""Values of one column that are watched by themselves: the error budget is split over them."""


def build_reference(
    frame: pd.DataFrame,
    probabilities: NDArray[np.float64],
    labels: NDArray[np.float64],
    schema: FeatureSchema,
    *,
    window: timedelta = timedelta(days=1),
    slices: Iterable[str] = (),
) -> dict[str, Any]:
    """The reference of a version from its held-out rows (raw columns), as JSON.

    ``entropy`` is the log loss that the model itself expects, so that rows which are merely harder
    can be told from rows on which it is wrong. ``profile`` holds the distributions of columns,
    label and score (tools/served_profile.py): its bins are what later windows are counted into.
    ``slices``: category columns of whose values the loss is kept apart.
    """
    losses = row_log_loss(probabilities, labels)
    times = parse_times(frame[schema.time_column], field=schema.time_column)
    rows = frame[list(schema.names)].assign(**{LABEL: labels, SCORE: probabilities})
    return {
        "rows": len(labels),
        "log_loss": float(losses.mean()),
        "log_loss_deviation": float(losses.std(ddof=1)),
        "entropy": float(entropy(probabilities).mean()),
        "label_rate": float(labels.mean()),
        "mean_probability": float(probabilities.mean()),
        "start": str(times.min()),
        "end": str(times.max()),
        "slices": _slices(frame, losses, slices),
        **reference_of(rows, times, schema, window),
    }


def _slices(
    frame: pd.DataFrame, losses: NDArray[np.float64], columns: Iterable[str]
) -> dict[str, dict[str, float]]:
    """Loss of each value of the columns that has rows enough, the commonest first."""
    found = {}
    for column in columns:
        texts = frame[column].astype(str)
        counts = texts.value_counts()
        for value in counts[counts >= MIN_SLICE_ROWS].index[:MOST_SLICES]:
            inside = (texts == value).to_numpy()
            found[f"{column}={value}"] = {
                "rows": int(inside.sum()),
                "log_loss": float(losses[inside].mean()),
            }
    return found
