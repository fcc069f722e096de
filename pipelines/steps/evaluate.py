"""Step ``evaluate``: challenger, champion and a constant, on the same held-out rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.gates import MIN_SLICE_ROWS
from pipelines.measures import baseline, calibration_curve, figures
from pipelines.split import TimeSplit
from tools.artifact import artifact_digest, load_predictor
from tools.errors import Refused
from tools.managed_model import ManagedModelSpec
from tools.time_features import parse_times

if TYPE_CHECKING:
    import pandas as pd

LABEL = "label"
CHALLENGER = "challenger"
CHAMPION = "champion"
PREFIX = "__"
"""Columns of the scored rows, with the prefix that keeps them apart from the schema's columns,
which stand beside them."""


def evaluate(
    rows: Path,
    plan: Path,
    artifact: Path,
    spec: ManagedModelSpec,
    scored: Path,
    report: Path,
    *,
    champion: Path | None = None,
    champion_digest: str = "",
) -> None:
    """Write the held-out rows with both models' probabilities (Parquet) and the figures (JSON).

    ``champion`` is an artifact folder; with ``champion_digest`` it must have that digest, else
    Refused.
    """
    import pandas as pd

    schema = spec.schema_
    frame = pd.read_parquet(rows)
    times = parse_times(frame[schema.time_column], field=schema.time_column)
    split = TimeSplit.model_validate(json.loads(plan.read_text(encoding="utf-8"))["split"])
    _, _, held = split.masks(times)
    label_rate = float(frame.loc[~held, spec.label.name].mean())
    holdout = frame[held].reset_index(drop=True)
    scores = {
        LABEL: holdout[spec.label.name].astype("float64"),
        CHALLENGER: load_predictor(artifact).predict_frame(holdout),
    }
    if champion is not None:
        scores[CHAMPION] = _champion_scores(champion, champion_digest, holdout)
    table = pd.concat(
        [pd.DataFrame(scores).add_prefix(PREFIX), holdout[[schema.time_column, *schema.names]]],
        axis=1,
    )
    table.to_parquet(scored, index=False)
    found = compare(table, spec, label_rate)
    report.write_text(json.dumps(found, allow_nan=False), encoding="utf-8")


def compare(table: pd.DataFrame, spec: ManagedModelSpec, label_rate: float) -> dict[str, Any]:
    """Figures of every model on the scored rows, in total and per slice, as JSON."""
    labels = table[PREFIX + LABEL].to_numpy()
    models = {
        name: table[PREFIX + name].to_numpy()
        for name in (CHALLENGER, CHAMPION)
        if PREFIX + name in table.columns
    }
    return {
        "baseline": _finite(baseline(label_rate, labels)),
        "models": {name: _finite(figures(p, labels)) for name, p in models.items()},
        "calibration": {name: calibration_curve(p, labels) for name, p in models.items()},
        "slices": {
            f"{column}={value}": {
                name: _finite(figures(p[mask], labels[mask])) for name, p in models.items()
            }
            for column in sliced_by(spec)
            for value, mask in _values(table[column])
        },
    }


def sliced_by(spec: ManagedModelSpec) -> list[str]:
    """The slice columns of all gates, each once."""
    return list(dict.fromkeys(column for gate in spec.gates for column in gate.slices))


def _champion_scores(champion: Path, digest: str, holdout: pd.DataFrame) -> Any:
    if digest and artifact_digest(champion) != digest:
        raise Refused(
            f"the champion's artifact {champion} does not have digest {digest}; fetch it again"
        )
    return load_predictor(champion).predict_frame(holdout)


def _values(column: pd.Series[Any]) -> list[tuple[str, Any]]:
    texts = column.astype(str).to_numpy()
    masks = [(value, texts == value) for value in sorted(set(texts))]
    return [(value, mask) for value, mask in masks if int(mask.sum()) >= MIN_SLICE_ROWS]


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if np.isfinite(value)}
