"""Step ``features``: the model's inputs for every row, the time split, and what was fitted on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.features import frequent_categories
from pipelines.split import split_by_time
from tools.managed_model import ManagedModelSpec
from tools.model_inputs import model_frame, number_inputs
from tools.time_features import parse_times

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.split import TimeSplit

TIME = "__time"
LABEL = "__label"
"""Columns added to the model's inputs; a schema column cannot be called so by accident."""


def features(rows: Path, spec: ManagedModelSpec, inputs: Path, plan: Path) -> None:
    """Write the model's inputs with time and label (Parquet, ordered by time), and the plan.

    The plan (JSON) holds the split and, from the rows before the hold-out, what the transformer
    will learn: medians and the category values that get an input of their own.
    """
    import pandas as pd

    schema = spec.schema_
    raw = pd.read_parquet(rows)
    times = parse_times(raw[schema.time_column], field=schema.time_column)
    order = times.argsort(kind="stable")
    raw, times = raw.iloc[order], times.iloc[order]
    split = split_by_time(raw, spec)
    frame = model_frame(raw, schema)
    summary = describe(frame, split, times, spec)
    frame[TIME] = times
    frame[LABEL] = raw[spec.label.name].astype("float64")
    frame.to_parquet(inputs, index=False)
    plan.write_text(json.dumps(summary, allow_nan=False), encoding="utf-8")


def describe(
    frame: pd.DataFrame, split: TimeSplit, times: pd.Series[Any], spec: ManagedModelSpec
) -> dict[str, Any]:
    """The plan of the fit as JSON."""
    training, validation, held = split.masks(times)
    fitted_on = frame[~held]
    medians = fitted_on[list(number_inputs(spec.schema_))].median()
    known = frequent_categories(spec.schema_, fitted_on)
    return {
        "split": split.model_dump(mode="json"),
        "rows": {
            "training": int(training.sum()),
            "validation": int(validation.sum()),
            "holdout": int(held.sum()),
        },
        "inputs": list(frame.columns),
        "medians": {n: None if math.isnan(value) else float(value) for n, value in medians.items()},
        "categories": dict(zip(spec.schema_.categories, known, strict=True)),
    }
