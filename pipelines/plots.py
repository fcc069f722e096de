"""Plots that are kept with a version: calibration and ROC of challenger and champion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.measures import calibration_curve, figure, roc_curve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def draw_evaluation(models: Mapping[str, Floats], labels: Floats, path: Path) -> None:
    """Draw reliability and ROC curves, one line per model, into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(canvas)
    reliability, roc = canvas.subplots(1, 2)
    for plot in (reliability, roc):
        plot.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
        plot.set_xlim(0, 1)
        plot.set_ylim(0, 1)
    for name, probabilities in models.items():
        curve = calibration_curve(probabilities, labels)
        predicted = [point["predicted"] for point in curve]
        reliability.plot(predicted, [point["observed"] for point in curve], "o-", label=name)
        false, true = roc_curve(probabilities, labels)
        auc = figure("roc_auc", probabilities, labels).value
        roc.plot(false, true, label=f"{name}, AUC {auc:.3f}")
    reliability.set(title="Calibration", xlabel="predicted", ylabel="observed")
    roc.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    for plot in (reliability, roc):
        plot.legend(loc="lower right")
    canvas.savefig(path, dpi=100)
