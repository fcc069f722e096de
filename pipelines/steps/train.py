"""Step ``train``: a small randomized search judged on later rows, then one fit on all of them."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.families import Candidate, candidates, make_classifier
from pipelines.features import build_model
from pipelines.horizon import Mask, rows_to_learn
from pipelines.measures import row_log_loss
from pipelines.split import TimeSplit
from pipelines.steps.features import LABEL, TIME
from tools.artifact import save_artifact
from tools.managed_model import ManagedModelSpec
from tools.values import Value

if TYPE_CHECKING:
    import pandas as pd

    Indices = NDArray[np.intp]

SEARCH_ROWS = 20_000
"""On how many rows candidates are compared: enough to rank them, and cheaper than the fit that
follows. They come from the whole history: on a year of flights the newest 20,000 alone judged worse
in three of four months (log loss .571 against .498 in the worst)."""
SAMPLE_ROWS = 1000


class Sources(Value):
    """What the steps before left behind."""

    rows: Path
    inputs: Path
    plan: Path


def train(
    sources: Sources,
    spec: ManagedModelSpec,
    artifact: Path,
    report: Path,
    *,
    model_step: str = "",
    seed: int = 0,
    changed_at: str = "",
) -> None:
    """Write the fitted model as an artifact and the report of the search.

    What is written here is what gets evaluated, registered and served: it is never made twice.
    ``model_step`` names a transformer that a team puts in front (see ``pipelines.features``);
    ``changed_at`` says since when the champion has been wrong (see ``pipelines.horizon``).
    """
    import pandas as pd

    frame = pd.read_parquet(sources.inputs)
    split = TimeSplit.model_validate(json.loads(sources.plan.read_text(encoding="utf-8"))["split"])
    times, labels = frame.pop(TIME), frame.pop(LABEL).to_numpy(dtype=float)
    training, validation, held = split.masks(times)
    rng = np.random.default_rng(seed)
    points = candidates(spec.training.families, spec.training.search_candidates, rng)
    shown = _spread(np.flatnonzero(training), SEARCH_ROWS)
    tried = []
    for point in points:
        begun = time.monotonic()
        fitted = _fit(point, spec, frame.iloc[shown], labels[shown], model_step, seed)
        losses = row_log_loss(fitted.predict_proba(frame[validation])[:, 1], labels[validation])
        tried.append(
            point.model_dump()
            | {"log_loss": float(losses.mean()), "seconds": round(time.monotonic() - begun, 3)}
        )
    best = min(range(len(points)), key=lambda index: tried[index]["log_loss"])
    begun = time.monotonic()

    def losses_of(fitted_on: Mask, judged_on: Mask) -> NDArray[np.float64]:
        shown = _spread(np.flatnonzero(fitted_on), SEARCH_ROWS)
        fitted = _fit(points[best], spec, frame.iloc[shown], labels[shown], model_step, seed)
        scores = fitted.predict_proba(frame[judged_on])[:, 1]
        return row_log_loss(scores, labels[judged_on])

    learned, horizon = rows_to_learn(times, np.asarray(held), changed_at, losses_of)
    final = _fit(points[best], spec, frame[learned], labels[learned], model_step, seed)
    summary = {
        "chosen": points[best].model_dump(),
        "validation_log_loss": tried[best]["log_loss"],
        "candidates": tried,
        "fitted_rows": int(learned.sum()),
        "horizon": horizon,
        "fit_seconds": round(time.monotonic() - begun, 3),
        "model_step": model_step,
        "seed": seed,
    }
    shutil.rmtree(artifact, ignore_errors=True)  # a retry begins anew
    summary["artifact_digest"] = save_artifact(
        final, spec.schema_, _sample(sources.rows, spec), artifact
    )
    report.write_text(json.dumps(summary, allow_nan=False), encoding="utf-8")


def _sample(rows: Path, spec: ManagedModelSpec) -> pd.DataFrame:
    """Raw rows from all over the data, on which the artifact's ONNX twin must agree."""
    import pandas as pd

    columns = [spec.schema_.time_column, *spec.schema_.names]
    frame = pd.read_parquet(rows, columns=columns)
    return frame.iloc[_spread(np.arange(len(frame)), SAMPLE_ROWS)]


def _spread(rows: Indices, wanted: int) -> Indices:
    """At most ``wanted`` of the rows, evenly from first to last."""
    places = np.linspace(0, len(rows) - 1, num=min(len(rows), wanted))
    chosen: Indices = rows[np.unique(places.astype(int))]
    return chosen


def _fit(
    candidate: Candidate,
    spec: ManagedModelSpec,
    inputs: pd.DataFrame,
    labels: np.ndarray[Any, np.dtype[np.float64]],
    model_step: str,
    seed: int,
) -> Any:
    classifier = make_classifier(candidate, seed=seed)
    model = build_model(
        spec.schema_,
        inputs,
        classifier,
        scale=candidate.scales_numbers,
        model_step=model_step,
    )
    return model.fit(inputs, labels)
