"""Performance on late labels: false alarms over 1,000 windows, and time to find a change.

Simulated models with independent rows, and with days that shake all rows of a window together.
Beside it: what a dashboard does (alarm when a day's loss is 10 % above the reference) and a z-test
of each day's rows. Run: python -m benchmarks.performance_alarms [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import numpy as np
from scipy import stats

from benchmarks.canary_report import Row, run
from tools.statistics.losses import Floats, MaturedWindow, summarise
from tools.statistics.performance import PerformanceProcess
from tools.statistics.verdict import Verdict

ALPHA, TOLERANCE, ROWS = 0.05, 0.01, 400
MEAN, SPREAD = -1.3, 1.0
"""Of the log odds that the model gives."""

LONGEST = 120
"""Windows after a change within which it has to be found."""

SHAKES = {"independent rows": 0.0, "days shake all rows": 0.7}
"""Standard deviation of a day's shift in log odds."""


def measure(quick: bool, seed: int) -> list[Row]:
    """Lives of 1,000 windows without a change; then lives with one after 0 and 200 windows."""
    rng = np.random.default_rng(seed)
    lives = 20 if quick else 200
    rows = [
        _false_alarms(rng, name, shake, tolerance, lives)
        for name, shake in SHAKES.items()
        for tolerance in (0.0, TOLERANCE)
    ]
    for name, shake in SHAKES.items():
        for good in (0, 200):
            rows += [_delay(rng, name, shake, good, wrong, lives) for wrong in (0.4, 0.8)]
    return rows


def _windows(rng: np.random.Generator, shake: float, wrong: float) -> Iterator[MaturedWindow]:
    """A model that is right on average, over days that differ; ``wrong`` moves the truth away.

    With shaken days the model's probability is the mean over the days' (by 9-point quadrature),
    which is what a calibrated model that cannot see the day says.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    weights = weights / weights.sum()
    while True:
        logit = rng.normal(MEAN, SPREAD, size=ROWS)
        p = np.asarray(weights @ _logistic(logit + shake * nodes[:, None]))
        truth = _logistic(logit + shake * rng.normal() + wrong)
        yield summarise(p, (rng.random(ROWS) < truth).astype(np.float64))


def _reference(shake: float) -> tuple[float, float]:
    """Expected loss, and the standard deviation of a row's loss."""
    windows = [next(_windows(np.random.default_rng(i), shake, 0.0)) for i in range(300)]
    loss = sum(w.expected for w in windows) / sum(w.labelled for w in windows)
    squares = sum(w.loss_squares for w in windows) / sum(w.labelled for w in windows)
    return loss, math.sqrt(squares - loss**2)


def _false_alarms(
    rng: np.random.Generator, name: str, shake: float, tolerance: float, lives: int
) -> Row:
    loss, spread = _reference(shake)
    counts = np.zeros(3)
    limit = loss + stats.norm.ppf(1.0 - ALPHA) * spread / math.sqrt(ROWS)
    for _ in range(lives):
        process = PerformanceProcess(reference_loss=loss, tolerance=tolerance)
        fired = np.zeros(3, dtype=bool)
        stream = _windows(rng, shake, 0.0)
        for _ in range(1000):
            window = next(stream)
            process = process.update(window)
            day = window.loss / window.labelled
            fired |= [_alarmed(process), day > 1.1 * loss, day > limit]
        counts += fired
    return {
        "rows": name,
        "change": f"none, 1,000 windows, tolerance {tolerance:g}",
        "after windows": None,
        "found": round(counts[0] / lives, 4),
        "windows to alarm, median": None,
        "90 %": None,
        "10 % rule alarms": round(counts[1] / lives, 4),
        "daily z-test alarms": round(counts[2] / lives, 4),
        "holds": bool(counts[0] / lives <= 2 * ALPHA),  # two questions
    }


def _delay(
    rng: np.random.Generator, name: str, shake: float, good: int, wrong: float, lives: int
) -> Row:
    loss, _ = _reference(shake)
    delays = []
    for _ in range(lives):
        process = PerformanceProcess(reference_loss=loss, tolerance=TOLERANCE)
        before, since = _windows(rng, shake, 0.0), _windows(rng, shake, wrong)
        for _ in range(good):
            process = process.update(next(before))
        while not _alarmed(process) and process.windows < good + LONGEST:
            process = process.update(next(since))
        delays.append(process.windows - good if _alarmed(process) else math.inf)
    found = float(np.mean(np.isfinite(delays)))
    return {
        "rows": name,
        "change": f"odds x {math.exp(wrong):.1f}",
        "after windows": good,
        "found": round(found, 4),
        "windows to alarm, median": float(np.quantile(delays, 0.5, method="higher")),
        "90 %": float(np.quantile(delays, 0.9, method="higher")) if found >= 0.91 else None,
        "10 % rule alarms": None,
        "daily z-test alarms": None,
        "holds": found >= 0.9 if wrong >= 0.8 else None,
    }


def _alarmed(process: PerformanceProcess) -> bool:
    """By either question; each has its own alpha."""
    found = process.judge(alpha=ALPHA)
    return Verdict.HARMFUL in (found.degraded.verdict, found.miscalibrated.verdict)


def _logistic(logit: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)), dtype=np.float64)


if __name__ == "__main__":
    sys.exit(run(f"Late labels, alpha 5 % per question, tolerance {TOLERANCE}", measure))
