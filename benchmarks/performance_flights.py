"""Flights of 2013: when would late labels have raised an alarm on one model fixed in February?

A gradient boosting model knows January and February; every later day is a window of matured rows.
The reference loss is that of a model fitted without the last 14 days, on those days.
Run: python -m benchmarks.performance_flights [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from benchmarks.canary_report import Row, run
from examples.flights.data import FEATURES, TRAINED_BEFORE, prepare, source_folder
from tools.statistics.losses import summarise
from tools.statistics.performance import PerformanceEvidence, PerformanceProcess
from tools.statistics.verdict import Verdict

ALPHA = 0.05
CATEGORIES = ["carrier", "origin", "dest"]


def measure(quick: bool, seed: int) -> list[Row]:
    """One row per month and tolerance: the loss, and what the evidence said by the month's end."""
    flights = prepare(source_folder())
    flights = flights[flights["late"].notna()]
    if quick:
        kept = np.random.default_rng(seed).random(len(flights)) < 0.4
        flights = flights[kept]
    when = flights["scheduled_departure"]
    fitted = TRAINED_BEFORE - pd.Timedelta(days=14)
    held_out = flights[(when >= fitted) & (when < TRAINED_BEFORE)]
    probability = _fit(flights[when < fitted], seed).predict_proba(_inputs(held_out))[:, 1]
    held = summarise(probability, held_out["late"].to_numpy())
    later = flights[when >= TRAINED_BEFORE]
    model = _fit(flights[when < TRAINED_BEFORE], seed)
    later = later.assign(probability=model.predict_proba(_inputs(later))[:, 1])
    reference = held.loss / held.labelled
    return [row for tolerance in (0.01, 0.02) for row in _year(later, reference, tolerance)]


def _year(later: pd.DataFrame, reference: float, tolerance: float) -> list[Row]:
    process = PerformanceProcess(reference_loss=reference, tolerance=tolerance)
    first: dict[str, pd.Timestamp] = {}
    rows: list[Row] = []
    for month, of_month in later.groupby(later["scheduled_departure"].dt.month):
        total = summarise(of_month["probability"].to_numpy(), of_month["late"].to_numpy())
        for day, of_day in of_month.groupby(of_month["scheduled_departure"].dt.normalize()):
            window = summarise(of_day["probability"].to_numpy(), of_day["late"].to_numpy())
            process = process.update(window)
            found = process.judge(alpha=ALPHA)
            for name in ("degraded", "miscalibrated"):
                if getattr(found, name).verdict is Verdict.HARMFUL:
                    first.setdefault(name, pd.Timestamp(str(day)))
        rows.append(_row(int(str(month)), total.loss / total.labelled, found, first, tolerance))
        rows[-1]["rows a day"] = round(total.labelled / 30)
    _claims(rows, first)
    return rows


def _row(
    month: int,
    loss: float,
    found: PerformanceEvidence,
    first: dict[str, pd.Timestamp],
    tolerance: float,
) -> Row:
    excess = found.excess
    return {
        "tolerance": tolerance,
        "month": f"2013-{month:02}",
        "log loss": round(loss, 4),
        "rows a day": 0,
        "excess lately": f"[{excess.low:.3f}, {excess.high:.3f}]" if excess else "",
        "degraded": found.degraded.verdict.value,
        "miscalibrated": found.miscalibrated.verdict.value,
        "cause": found.cause.value,
        "first alarm": min((str(day.date()) for day in first.values()), default=""),
        "holds": None,
    }


def _claims(rows: list[Row], first: dict[str, pd.Timestamp]) -> None:
    """March must pass without an alarm, April must be found before it ends."""
    alarm = min(first.values(), default=None)
    rows[0]["holds"] = alarm is None or alarm >= pd.Timestamp("2013-04-01")
    rows[1]["holds"] = alarm is not None and alarm < pd.Timestamp("2013-05-01")


def _inputs(flights: pd.DataFrame) -> pd.DataFrame:
    when = flights["scheduled_departure"]
    inputs = flights[list(FEATURES)].assign(
        minute=when.dt.hour * 60 + when.dt.minute, weekday=when.dt.dayofweek
    )
    return inputs.astype(dict.fromkeys(CATEGORIES, "category"))


def _fit(flights: pd.DataFrame, seed: int):  # type: ignore[no-untyped-def]  # sklearn has no types
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
        remainder="passthrough",
    )
    trees = HistGradientBoostingClassifier(max_iter=150, random_state=seed)
    return make_pipeline(columns, trees).fit(_inputs(flights), flights["late"].astype(int))


if __name__ == "__main__":
    sys.exit(run("Flights, model fixed in February, days as windows, alpha 5 %", measure))
