"""A small invented model and its labelled rows, for rehearsing training without real data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tools.managed_model import ManagedModelSpec

PLACES = ("north", "south", "west")


def small_spec(**changes: Any) -> ManagedModelSpec:
    """The spec of a model with two numbers, one category and two time features."""
    document: dict[str, Any] = {
        "model": "parcels",
        "schema": {
            "timeColumn": "sent",
            "timeFeatures": ["hour", "weekday"],
            "columns": [
                {"name": "weight", "type": "number", "unit": "kg", "minimum": 0, "maximum": 40},
                {"name": "wind", "type": "number", "unit": "m/s", "nullable": True},
                {"name": "place", "type": "category", "nullable": True},
            ],
            "forbidden": ["arrived"],
        },
        "label": {"name": "late", "delay": "12h"},
        "data": {"history": "parcels.parquet", "minRows": 500},
        "training": {
            "families": ["hist_gradient_boosting", "logistic_regression"],
            "searchCandidates": 2,
            "holdout": "10d",
        },
        "gates": [
            {"metric": "log_loss", "notWorseThanChampionBy": 0.05},
            {"metric": "roc_auc", "minimum": 0.6},
        ],
        "serving": {"route": "parcels", "host": "parcels"},
    }
    return ManagedModelSpec.model_validate(document | changes)


def small_rows(count: int, *, seed: int = 0, shift: float = 0.0) -> pd.DataFrame:
    """Rows of 60 days; parcels are late when heavy, in wind, and in the evening.

    ``shift`` changes how much the weight counts, so that a model of other rows is wrong here.
    """
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.integers(0, 60 * 24 * 60, count))
    sent = pd.Timestamp("2013-01-01") + pd.to_timedelta(minutes, unit="min")
    weight = rng.gamma(4.0, 2.0, count).round(2)
    wind = rng.gamma(2.0, 3.0, count).round(1)
    place = rng.choice(PLACES, count)
    evening = (sent.hour >= 17).astype(float)
    score = (0.5 - shift) * (weight - 8) + 0.2 * (wind - 6) + evening - 1 + (place == "north")
    late = rng.random(count) < 1 / (1 + np.exp(-score))
    frame = pd.DataFrame(
        {"sent": sent, "weight": weight, "wind": wind, "place": place, "late": late.astype(float)}
    )
    frame.loc[rng.random(count) < 0.1, "wind"] = np.nan
    frame.loc[rng.random(count) < 0.05, "place"] = None
    return frame
