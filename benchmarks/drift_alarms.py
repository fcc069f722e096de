"""No drift, 20 features: how often is any feature flagged, by mendloop, the textbook, Evidently?

Run: python -m benchmarks.drift_alarms [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks.canary_report import Row, run
from benchmarks.drift_data import (
    evidently_drifted,
    evidently_report,
    has_evidently,
    normals,
    report,
    textbook_alarm,
)

ALPHA, FEATURES = 0.01, 20
SIZES = (200, 1_000, 10_000, 100_000)
RUNS = {200: 3000, 1_000: 3000, 10_000: 1000, 100_000: 200}
QUICK_RUNS = {200: 300, 1_000: 200, 10_000: 40, 100_000: 4}
PEER_RUNS = {200: 60, 1_000: 60, 10_000: 20, 100_000: 4}
QUICK_PEER_RUNS = {200: 5, 1_000: 5, 10_000: 2, 100_000: 0}

Rule = Callable[[pd.DataFrame, pd.DataFrame], bool]


def measure(quick: bool, seed: int) -> list[Row]:
    """Every rule sees fresh pairs of samples of one law."""
    rows = []
    ours: dict[str, Rule] = {
        "mendloop, tolerance 0.05": lambda a, b: bool(report(a, b, alpha=ALPHA).shifted),
        "mendloop, tolerance 0": lambda a, b: bool(
            report(a, b, alpha=ALPHA, tolerance=0.0).shifted
        ),
    }
    for size in SIZES:
        runs = (QUICK_RUNS if quick else RUNS)[size]
        for name, rule in ours.items():
            rows.append(_row(name, size, rule, runs, seed, claims=True))
        rows.append(_row("PSI > 0.25 or KS p < 0.05", size, textbook_alarm, runs, seed))
        peer_runs = (QUICK_PEER_RUNS if quick else PEER_RUNS)[size]
        if has_evidently() and peer_runs:
            rows.append(_row("Evidently, any column", size, _evidently, peer_runs, seed))
    if not has_evidently():
        print("Evidently is not installed: left out (uv sync --group bench)", file=sys.stderr)
    return rows


def _evidently(before: pd.DataFrame, now: pd.DataFrame) -> bool:
    return evidently_drifted(evidently_report(before, now)) > 0


def _row(name: str, size: int, rule: Rule, runs: int, seed: int, claims: bool = False) -> Row:
    rng = np.random.default_rng([seed, size])
    alarms = sum(
        rule(normals(rng, size, FEATURES), normals(rng, size, FEATURES)) for _ in range(runs)
    )
    share = alarms / runs
    # An upper 99 % bound would hide nothing here: the observed share itself must stay within alpha.
    holds = share <= ALPHA if claims else None
    return {
        "rule": name,
        "rows": size,
        "reports": runs,
        "with a false alarm": share,
        "claimed": ALPHA if claims else None,
        "holds": holds,
    }


if __name__ == "__main__":
    sys.exit(run("Reports with a false alarm, 20 features, no drift", measure))
