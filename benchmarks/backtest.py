"""Backtests: mendloop beside calendars and detectors with the same learner, on several streams.

Generated: stationary (mendloop must stay within 0.1 points of never retraining, with at most one
promotion), recurring concepts. Real: the flights example (a sample in order), and every stream of
``STREAMS`` that lies in the folder named by the environment variable BACKTEST_STREAMS. The short
streams of the quick mode begin with so few rows that more data helps in itself: there, only the
quality is claimed.
Run: python -m benchmarks.backtest [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.canary_report import Row, run
from simulations.backtest.baselines import Baseline
from simulations.backtest.reading import Question
from simulations.backtest.session import Outcome, run_backtest

STREAMS = {"electricity": "class", "noaa_weather": "rain"}
"""Name of the file (.csv) and its label; replayed with labels at once and 1,000 rows late."""
MOST_OVERHEAD = 0.3
"""Share of the run that is neither fitting nor predicting."""
_LATE_ROWS = 1000
_FLIGHTS_SHARE = 0.3


def measure(quick: bool, seed: int) -> list[Row]:
    """One row per stream; ``holds`` as the row's claim says."""
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for name, question, claim in _streams(Path(folder), quick, seed):
            outcome = run_backtest(question, seed=seed)
            rows.append(_row(name, outcome, claim, counts=not quick))
        return rows


def _streams(folder: Path, quick: bool, seed: int) -> Iterator[tuple[str, Question, str]]:
    for number in range(seed, seed + (1 if quick else 3)):
        path = folder / f"stationary-{number}.csv"
        _stationary(6_000 if quick else 100_000, number).to_csv(path, index=False)
        yield f"stationary, seed {number}", Question(str(path), "y"), "never"
    path = folder / "turning.csv"
    _turning(5_000 if quick else 40_000, seed).to_csv(path, index=False)
    yield "recurring concepts", Question(str(path), "y"), "half"
    if quick:
        return
    path = folder / "flights.parquet"
    _flights(seed).to_parquet(path, index=False)
    late = Question(str(path), "late", time="scheduled_departure", delay=timedelta(hours=12))
    yield "flights", late, "calendar"
    home = os.environ.get("BACKTEST_STREAMS", "")
    for name, label in STREAMS.items():
        file = Path(home) / f"{name}.csv"
        if home and file.exists():
            for delay in (0, _LATE_ROWS):
                yield (
                    f"{name}, labels {delay} late",
                    Question(str(file), label, delay_rows=delay),
                    "half",
                )


def _row(name: str, outcome: Outcome, claim: str, *, counts: bool) -> Row:
    figures = {b.name: b for b in outcome.baselines}
    calendars = [b for b in outcome.baselines if b.name.startswith("every")]
    best = _best(outcome.baselines)
    rival = {"never": figures["never"], "calendar": _best(calendars), "half": best}[claim]
    value = float(rival.marks.mean())
    margin = 0.001 if claim == "never" else 0.0
    most = {"never": 1, "calendar": rival.retrains, "half": rival.retrains // 2}[claim]
    spent = outcome.promotions if claim == "never" else outcome.tried
    overhead = 1.0 - outcome.fit_s / outcome.wall_s
    return {
        "stream": name,
        "rows": outcome.recording.rows,
        "mendloop": outcome.served,
        "retrains": outcome.tried,
        "promotions": outcome.promotions,
        "never": float(figures["never"].marks.mean()),
        "best of the others": f"{best.name} {float(best.marks.mean()):.4f} ({best.retrains})",
        "claim against": f"{rival.name} {value:.4f}" + (f", at most {most}" if counts else ""),
        "overhead": overhead,
        "holds": bool(
            outcome.served >= value - margin
            and (spent <= most or not counts)
            and overhead <= MOST_OVERHEAD
        ),
    }


def _best(found: list[Baseline] | tuple[Baseline, ...]) -> Baseline:
    return max(found, key=lambda b: float(b.marks.mean()))


def _stationary(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, 8))
    score = inputs[:, 0] + 0.7 * inputs[:, 1] * inputs[:, 2] - 0.5 * np.abs(inputs[:, 3]) + 0.3
    label = (rng.random(rows) < 1 / (1 + np.exp(-2 * score))).astype(int)
    return _frame(inputs, label)


def _turning(rows: int, seed: int) -> pd.DataFrame:
    """Two concepts that take turns, eight stretches of equal length."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, 5))
    sign = np.where(np.arange(rows) * 8 // rows % 2 == 0, 1.0, -1.0)
    score = inputs[:, 0] + sign * inputs[:, 1] + 0.5 * rng.normal(size=rows)
    return _frame(inputs, (score > 0).astype(int))


def _frame(inputs: np.ndarray, label: np.ndarray) -> pd.DataFrame:
    names = [f"x{number}" for number in range(inputs.shape[1])]
    return pd.DataFrame(inputs, columns=names).assign(y=label)


def _flights(seed: int) -> pd.DataFrame:
    from examples.flights.data import FEATURES, prepare, source_folder

    flights = prepare(source_folder())
    kept = np.random.default_rng(seed).random(len(flights)) < _FLIGHTS_SHARE
    return flights.loc[kept, ["scheduled_departure", *FEATURES, "late"]]


if __name__ == "__main__":
    sys.exit(run("Backtests beside calendars and detectors, the same learner for all", measure))
