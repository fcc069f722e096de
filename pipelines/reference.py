"""What evidence about a version is later judged against, kept with the version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.measures import entropy, row_log_loss
from tools.schema import FeatureSchema

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def build_reference(
    frame: pd.DataFrame,
    probabilities: NDArray[np.float64],
    labels: NDArray[np.float64],
    schema: FeatureSchema,
) -> dict[str, Any]:
    """The reference of a version from its held-out rows (raw columns), as JSON.

    ``entropy`` is the log loss that the model itself expects, so that rows which are merely harder
    can be told from rows on which it is wrong.
    """
    losses = row_log_loss(probabilities, labels)
    times = frame[schema.time_column]
    return {
        "rows": len(labels),
        "log_loss": float(losses.mean()),
        "log_loss_deviation": float(losses.std(ddof=1)),
        "entropy": float(entropy(probabilities).mean()),
        "label_rate": float(labels.mean()),
        "mean_probability": float(probabilities.mean()),
        "start": str(times.min()),
        "end": str(times.max()),
    }
