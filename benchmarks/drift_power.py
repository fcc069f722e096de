"""Shifts that must be found, and one that must not: power beside Bonferroni KS.

Run: python -m benchmarks.drift_power [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.canary_report import Row, run
from benchmarks.drift_data import ks_p_values, normals, report

ALPHA, FEATURES = 0.01, 20
SHIFTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)


def measure(quick: bool, seed: int) -> list[Row]:
    """A shift of the first of 20 features, in standard deviations."""
    runs = 60 if quick else 1000
    rows = [_power(1_000, 1_000, shift, runs, seed) for shift in SHIFTS]
    rows.append(_power(50_000, 1_000, 0.5, 10 if quick else 100, seed))
    rows.append(_power(100_000, 100_000, 0.05, 3 if quick else 30, seed))
    return rows


def _power(reference: int, current: int, shift: float, runs: int, seed: int) -> Row:
    rng = np.random.default_rng([seed, reference, current, round(shift * 1000)])
    found = {"tolerance 0": 0, "tolerance 0.05": 0, "tolerance 0.1": 0, "Bonferroni KS": 0}
    for _ in range(runs):
        before = normals(rng, reference, FEATURES)
        now = normals(rng, current, FEATURES, shift)
        for tolerance in (0.0, 0.05, 0.1):
            drift = report(before, now, alpha=ALPHA, tolerance=tolerance)
            found[f"tolerance {tolerance:g}"] += "x0" in drift.shifted
        found["Bonferroni KS"] += ks_p_values(before, now)[0] < ALPHA / FEATURES
    shares = {name: count / runs for name, count in found.items()}
    holds = None
    if (reference, shift) in ((1_000, 0.5), (50_000, 0.5)):
        holds = shares["tolerance 0.05"] >= 0.9
    elif shift == 0.05:
        holds = shares["tolerance 0.05"] == 0 and shares["tolerance 0"] == 1
    return {
        "reference rows": reference,
        "current rows": current,
        "shift (sd)": shift,
        "runs": runs,
        **shares,
        "holds": holds,
    }


if __name__ == "__main__":
    sys.exit(run("Share of reports that flag the shifted feature (1 of 20)", measure))
