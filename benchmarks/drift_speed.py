"""A drift report of 100,000 against 100,000 rows and 25 columns: mendloop beside Evidently.

Run: python -m benchmarks.drift_speed [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks.canary_report import Row, run
from benchmarks.drift_data import evidently_report, has_evidently, ks_p_values, report
from tools.statistics.joint import joint_shift

FASTER = 20.0


def _frame(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    frame = pd.DataFrame(rng.normal(size=(rows, 20)), columns=[f"x{i}" for i in range(20)])
    for i in range(5):
        frame[f"c{i}"] = rng.choice([f"value {j}" for j in range(5 + 10 * i)], rows)
    return frame


def _seconds(action: Callable[[], object], times: int) -> float:
    """Best of several: the machine's other work only ever adds."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return min(found)


def measure(quick: bool, seed: int) -> list[Row]:
    """Same data, same process, one after the other."""
    rng = np.random.default_rng(seed)
    before, now = _frame(rng, 100_000), _frame(rng, 100_000)
    numbers, categories = tuple(before.columns[:20]), tuple(before.columns[20:])

    def joint() -> object:
        return joint_shift(
            before,
            now,
            numbers=numbers,
            categories=categories,
            alpha=0.0025,
            tolerance=0.05,
            seed=0,
        )

    profiles = _seconds(lambda: report(before, now), 3)
    together = _seconds(joint, 3)
    ours = profiles + together
    rows = [_row("mendloop: both profiles and report", profiles, None, None)]
    rows.append(_row("mendloop: joint test", together, None, None))
    rows.append(_row("mendloop: the whole report", ours, 1.0, None))
    scipy_s = _seconds(lambda: ks_p_values(before[list(numbers)], now[list(numbers)]), 1)
    rows.append(_row("scipy KS, 20 numbers only", scipy_s, scipy_s / ours, None))
    if has_evidently():
        theirs = _seconds(lambda: evidently_report(before, now), 1 if quick else 3)
        rows.append(
            _row("Evidently DataDriftPreset", theirs, theirs / ours, theirs / ours >= FASTER)
        )
    else:
        print("Evidently is not installed: left out (uv sync --group bench)", file=sys.stderr)
    return rows


def _row(what: str, seconds: float, ratio: float | None, holds: bool | None) -> Row:
    return {"what": what, "seconds": seconds, "times mendloop's": ratio, "holds": holds}


if __name__ == "__main__":
    sys.exit(run("Drift report, 100,000 x 100,000 rows, 25 columns", measure))
