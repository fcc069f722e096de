"""Windows in sequence: alarms without drift, and windows until a drift is found.

Run: python -m benchmarks.drift_sequence [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from benchmarks.canary_report import Row, run
from benchmarks.drift_data import ks_p_values
from tools.statistics.profile import Profile, current_profile, reference_profile
from tools.statistics.sequential_drift import SequentialDrift, alarms

FEATURES, PER_WINDOW, REFERENCE, MONTH, ALPHA = 10, 300, 20_000, 30, 0.05
NAMES = tuple(f"x{i}" for i in range(FEATURES))


def measure(quick: bool, seed: int) -> list[Row]:
    """1,000 windows of one day each, then drifts of several sizes."""
    rows = [
        _quiet(1000, seed + i, tolerance)
        for i in range(1 if quick else 5)
        for tolerance in (0.0, 0.05)
    ]
    rows += [_drifting(shift, 5 if quick else 40, seed) for shift in (0.25, 0.35, 0.5, 1.0)]
    return rows


def _frame(rng: np.random.Generator, rows: int, shift: float = 0.0) -> pd.DataFrame:
    values = rng.normal(size=(rows, FEATURES))
    values[:, 0] += shift
    return pd.DataFrame(values, columns=list(NAMES))


def _start(rng: np.random.Generator) -> tuple[pd.DataFrame, Profile]:
    before = _frame(rng, REFERENCE)
    return before, reference_profile(before, numbers=NAMES)


def _quiet(windows: int, seed: int, tolerance: float) -> Row:
    rng = np.random.default_rng([seed, 1])
    before, reference = _start(rng)
    state = SequentialDrift(windows_per_month=MONTH, alpha_per_month=ALPHA, tolerance=tolerance)
    ours = textbook = 0
    for _ in range(windows):
        now = _frame(rng, PER_WINDOW)
        state, reports = state.after(current_profile(now, reference), reference)
        ours += bool(alarms(reports))
        textbook += min(ks_p_values(before.head(2000), now)) < 0.05
    stated = ALPHA * windows / MONTH
    return {
        "case": f"no drift, tolerance {tolerance:g}",
        "windows": windows,
        "windows with an alarm": ours,
        "at most (stated)": stated,
        "KS p < 0.05 on any": textbook,
        "median windows to find": None,
        "found": None,
        "holds": ours <= stated,
    }


def _drifting(shift: float, runs: int, seed: int) -> Row:
    rng = np.random.default_rng([seed, 2, round(shift * 100)])
    took = []
    for _ in range(runs):
        _, reference = _start(rng)
        state = SequentialDrift(windows_per_month=MONTH, alpha_per_month=ALPHA, tolerance=0.05)
        for count in range(1, 65):
            window = current_profile(_frame(rng, PER_WINDOW, shift), reference)
            state, reports = state.after(window, reference)
            if "x0" in alarms(reports):
                took.append(count)
                break
    return {
        "case": f"{shift:g} sd in 1 of {FEATURES}, tolerance 0.05",
        "windows": 64,
        "windows with an alarm": None,
        "at most (stated)": None,
        "KS p < 0.05 on any": None,
        "median windows to find": float(np.median(took)) if took else None,
        "found": len(took) / runs,
        "holds": None,
    }


if __name__ == "__main__":
    sys.exit(run(f"Drift over windows of {PER_WINDOW} rows, {FEATURES} features", measure))
