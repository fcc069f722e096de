"""Canary at 1 % against 2 % errors, share 10 %: false alarms and requests to prove harm.

Run: python -m benchmarks.canary_harm [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.canary_report import Row, run
from tools.statistics.eprocess import allocation_factors, harm_prior
from tools.statistics.time_to_decision import harm_bound

STABLE, CANARY, SHARE, ALPHA, BETA = 0.01, 0.02, 0.1, 0.05, 0.05
FIXED_HORIZON = 17_430
"""Total requests of the two-proportion z-test with these error rates."""

Path = NDArray[np.float64]


def measure(quick: bool, seed: int) -> list[Row]:
    """Our process, then what people use."""
    rng = np.random.default_rng(seed)
    paths = 1000 if quick else 10_000
    bound = harm_bound(STABLE, CANARY, SHARE, alpha=ALPHA, beta=BETA)
    horizon = 20 * FIXED_HORIZON
    false_alarms = _share_crossed(_harm_stops(rng, STABLE, paths, horizon))
    stops = _harm_stops(rng, CANARY, paths, 100 * FIXED_HORIZON)
    mean = float(np.mean(stops))
    rows = [
        _row(
            "e-process, watched at every error",
            false_alarms,
            horizon,
            _share_crossed(stops),
            mean,
            false_alarms <= ALPHA and mean <= 1.5 * bound,
            bound,
        )
    ]
    for name, each, look in (
        ("fixed-horizon z-test, asked once", FIXED_HORIZON, FIXED_HORIZON),
        ("the same z-test, asked every 1,000 requests", horizon, 1000),
    ):
        false_alarms = _share_crossed(_z_stops(rng, STABLE, paths // 4, each, look))
        stops = _z_stops(rng, CANARY, paths // 4, each, look)
        found = _share_crossed(stops)
        mean = each if each == look else float(np.mean(stops[np.isfinite(stops)]))
        rows.append(_row(name, false_alarms, each, found, mean, None, bound))
    return [*rows, *_threshold_rows(rng, paths, bound), _mann_whitney_row(rng, paths // 10, bound)]


def _row(
    rule: str,
    false_alarms: float,
    horizon: int,
    found: float,
    mean: float,
    holds: bool | None,
    bound: float,
) -> Row:
    return {
        "rule": rule,
        "false alarms": round(false_alarms, 4),
        "over requests": horizon,
        "harm found": round(found, 4),
        "mean requests to harm": round(mean),
        "x lower bound": round(mean / bound, 3),
        "holds": holds,
    }


def _harm_stops(rng: np.random.Generator, canary_rate: float, paths: int, horizon: int) -> Path:
    """Request at which each path first reaches 1/alpha (inf: not within the horizon).

    One step per error: only errors move the process, so this is watching every request.
    """
    bad_rate = SHARE * canary_rate + (1.0 - SHARE) * STABLE
    log_odds, weights = harm_prior()
    hit, miss = allocation_factors(log_odds, SHARE, floor=0.0)
    log_e = np.tile(np.log(weights), (paths, 1))
    at, stops, alive = np.zeros(paths), np.full(paths, np.inf), np.arange(paths)
    while len(alive):
        at = at + rng.geometric(bad_rate, size=len(alive))
        on_canary = rng.random(len(alive)) < SHARE * canary_rate / bad_rate
        log_e = log_e + np.where(on_canary[:, None], hit, miss)
        top = log_e.max(axis=1)
        proved = top + np.log(np.exp(log_e - top[:, None]).sum(axis=1)) >= -np.log(ALPHA)
        proved &= at <= horizon
        stops[alive[proved]] = at[proved]
        go = ~proved & (at <= horizon)
        at, log_e, alive = at[go], log_e[go], alive[go]
    return stops


def _z_stops(
    rng: np.random.Generator, canary_rate: float, paths: int, horizon: int, look: int
) -> Path:
    """One-sided pooled two-proportion z-test, asked every ``look`` requests."""
    looks = horizon // look
    canary = rng.binomial(look, SHARE, size=(paths, looks))
    bad = rng.binomial(canary, canary_rate).cumsum(axis=1)
    stable_bad = rng.binomial(look - canary, STABLE).cumsum(axis=1)
    n1 = canary.cumsum(axis=1)
    n0 = look * np.arange(1, looks + 1) - n1
    pooled = np.maximum((bad + stable_bad) / (n0 + n1), 1e-12)
    z = (bad / n1 - stable_bad / n0) / np.sqrt(pooled * (1 - pooled) * (1 / n0 + 1 / n1))
    crossed = z >= stats.norm.ppf(1.0 - ALPHA)
    first = np.argmax(crossed, axis=1)
    return np.where(crossed.any(axis=1), (first + 1.0) * look, np.inf)


def _threshold_rows(rng: np.random.Generator, paths: int, bound: float) -> list[Row]:
    """Argo and Flagger style: abort when a window's success rate is below 99 %, 20 windows."""
    rows = []
    for per_window in (20, 100, 1000):
        limit = 0.01 * per_window
        healthy = rng.binomial(per_window, 0.005, size=(paths, 20)) > limit
        harmful = rng.binomial(per_window, CANARY, size=(paths, 20)) > limit
        first = np.argmax(harmful, axis=1) + 1.0
        stops = np.where(harmful.any(axis=1), first * per_window / SHARE, np.inf)
        rows.append(
            _row(
                f"success >= 99 %, 20 windows of {per_window:,}, canary at 0.5 %",
                float(healthy.any(axis=1).mean()),
                round(20 * per_window / SHARE),
                _share_crossed(stops),
                float(np.mean(stops[np.isfinite(stops)])),
                None,
                bound,
            )
        )
    return rows


def _mann_whitney_row(rng: np.random.Generator, paths: int, bound: float) -> Row:
    """Kayenta style: error rates of 1,000-request windows, compared again after every window."""
    windows, look = 60, 1000
    found = {}
    for rate in (STABLE, CANARY):
        stops = np.full(paths, np.inf)
        canary = rng.binomial(round(look * SHARE), rate, size=(paths, windows)) / (look * SHARE)
        stable = rng.binomial(round(look * (1 - SHARE)), STABLE, size=(paths, windows)) / (
            look * (1 - SHARE)
        )
        for at in range(10, windows + 1, 5):
            p = stats.mannwhitneyu(
                canary[:, :at], stable[:, :at], alternative="greater", axis=1, method="asymptotic"
            ).pvalue
            stops = np.where((p <= ALPHA) & np.isinf(stops), at * look, stops)
        found[rate] = stops
    return _row(
        "Mann-Whitney on windows of 1,000, from the 10th on",
        _share_crossed(found[STABLE]),
        windows * look,
        _share_crossed(found[CANARY]),
        float(np.mean(found[CANARY][np.isfinite(found[CANARY])])),
        None,
        bound,
    )


def _share_crossed(stops: Path) -> float:
    return float(np.isfinite(stops).mean())


if __name__ == "__main__":
    sys.exit(run("Canary 1 % against 2 % errors, share 10 %, alpha = beta = 5 %", measure))
