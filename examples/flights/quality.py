"""How good the answers were: what was served, the first champion alone, and the majority class.

All three are judged on the same requests, those that were answered and whose label is known, as
they arrived, faults included.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from examples.flights.data import FEATURES
from examples.flights.outcome import Figures, MonthQuality, Quality
from examples.flights.world import Span
from tools.errors import Invalid
from tools.statistics.losses import clipped, row_loss

Floats = NDArray[np.float64]


def measure_quality(
    answered: pd.DataFrame,
    arrived: pd.DataFrame,
    first_champion: Any,
    late_rate: float,
    fault: Span,
) -> Quality:
    """``answered`` has scheduled_departure, late, status and probability; ``arrived`` (same index)
    the requests as sent. ``first_champion`` is a predictor with ``predict_frame``; ``late_rate``
    the share of late flights in its training data.
    """
    known = answered["late"].notna() & (answered["status"] == 200)
    if not known.any():
        raise Invalid("no answered request has a label yet: there is no quality to measure")
    rows = answered[known]
    columns = ["scheduled_departure", *FEATURES]
    scores = pd.DataFrame(
        {
            "month": rows["scheduled_departure"].dt.strftime("%Y-%m"),
            "late": rows["late"],
            "served": rows["probability"],
            "never": first_champion.predict_frame(arrived.loc[rows.index, columns]),
            "majority": late_rate,
            "faulty": fault.covers(rows["scheduled_departure"]),
        }
    )
    months = tuple(_compare(str(month), part) for month, part in scores.groupby("month"))
    return Quality(
        months=months,
        total=_compare("all", scores),
        without_fault=_compare("all", scores[~scores["faulty"]]),
    )


def figures(probability: Floats, label: Floats) -> Figures:
    """Log loss (probabilities kept 0.001 away from certainty), ROC AUC and accuracy at 0.5."""
    return Figures(
        log_loss=float(row_loss(clipped(probability), label).mean()),
        roc_auc=_roc_auc(probability, label),
        accuracy=float(((probability >= 0.5) == (label > 0.5)).mean()),
    )


def _compare(month: str, rows: pd.DataFrame) -> MonthQuality:
    label = rows["late"].to_numpy(dtype=float)
    served, never, majority = (
        figures(rows[name].to_numpy(dtype=float), label) for name in ("served", "never", "majority")
    )
    return MonthQuality(
        month=month, rows=len(rows), served=served, never_retrained=never, majority=majority
    )


def _roc_auc(probability: Floats, label: Floats) -> float | None:
    if len(np.unique(label)) < 2 or len(np.unique(probability)) < 2:
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(label, probability))
