"""What evidence about a version is later judged against, kept with the version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.measures import entropy, row_log_loss
from tools.schema import FeatureSchema
from tools.statistics.profile import reference_profile

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_LABEL, _SCORE = "__label", "__score"


def build_reference(
    frame: pd.DataFrame,
    probabilities: NDArray[np.float64],
    labels: NDArray[np.float64],
    schema: FeatureSchema,
) -> dict[str, Any]:
    """The reference of a version from its held-out rows (raw columns), as JSON.

    ``entropy`` is the log loss that the model itself expects, so that rows which are merely harder
    can be told from rows on which it is wrong. ``profile`` (tools/statistics/profile.py) holds the
    distributions of columns, label and score; its bins are what later data is counted into.
    """
    losses = row_log_loss(probabilities, labels)
    times = frame[schema.time_column]
    profile = reference_profile(
        frame[list(schema.names)].assign(**{_LABEL: labels, _SCORE: probabilities}),
        numbers=schema.numbers,
        categories=schema.categories,
        label=_LABEL,
        score=_SCORE,
    )
    return {
        "rows": len(labels),
        "log_loss": float(losses.mean()),
        "log_loss_deviation": float(losses.std(ddof=1)),
        "entropy": float(entropy(probabilities).mean()),
        "label_rate": float(labels.mean()),
        "mean_probability": float(probabilities.mean()),
        "start": str(times.min()),
        "end": str(times.max()),
        "profile": profile.model_dump(mode="json"),
    }
