"""Promotion of an equal canary: the time told beforehand against what the process really takes.

For each plan the time is printed by ``promotion_time``; then canaries are simulated by other code,
request by request in small steps, folded into the very states that the controller journals.
Run: python -m benchmarks.canary_promotion [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import math
import sys

import numpy as np

from benchmarks.canary_report import Row, run
from tools.statistics.canary import GuardrailProcess
from tools.statistics.eprocess import ArmCounts, Stretch
from tools.statistics.time_to_decision import promotion_time

ALPHA, BETA = 0.05, 0.05
PLANS = [
    (0.0, 0.1, 0.02),
    (0.01, 0.1, 0.02),
    (0.01, 0.05, 0.1),
    (0.01, 0.5, 0.01),
    (0.05, 0.25, 0.02),
]
"""Rate of both arms, share, margin."""


def measure(quick: bool, seed: int) -> list[Row]:
    """One row per plan; then the worst case: a canary at the margin."""
    rng = np.random.default_rng(seed + 1)
    paths = 150 if quick else 800
    rows = [_planned(rng, plan, paths, seed) for plan in PLANS]
    return [*rows, *(_at_the_margin(rng, plan, paths) for plan in PLANS[1:])]


def _planned(
    rng: np.random.Generator, plan: tuple[float, float, float], paths: int, seed: int
) -> Row:
    """Refused: not promoted by the planned sample, or called harmful before."""
    rate, share, margin = plan
    told = promotion_time(rate, rate, share, margin=margin, alpha=ALPHA, beta=BETA, seed=seed)
    found = [_one(rng, rate, rate, share, margin, 4 * told.planned) for _ in range(paths)]
    proved = np.array([requests for _, requests in found])
    refused = float(np.mean(proved > told.planned))
    harmful = float(np.mean([harmed < requests for harmed, requests in found]))
    measured = float(np.mean(proved))
    noise = 2.0 * math.sqrt(BETA * (1.0 - BETA) / paths)
    close = abs(told.expected / measured - 1.0) <= 0.25
    return {
        "bad rates": f"{rate:.1%}, equal",
        "share": share,
        "margin": margin,
        "told": told.expected,
        "measured": round(measured),
        "told / measured": round(told.expected / measured, 3),
        "planned sample": told.planned,
        "refused": round(refused, 4),
        "called harmful": round(harmful, 4),
        "promoted": None,
        "holds": close and refused <= BETA + noise and harmful <= ALPHA + noise,
    }


def _at_the_margin(rng: np.random.Generator, plan: tuple[float, float, float], paths: int) -> Row:
    """Worse by exactly the margin, over ten times the planned sample of an equal one."""
    rate, share, margin = plan
    horizon = 10 * promotion_time(rate, rate, share, margin=margin).expected
    found = [_one(rng, rate, rate + margin, share, margin, horizon) for _ in range(paths)]
    promoted = float(np.mean([requests < min(harmed, horizon) for harmed, requests in found]))
    return {
        "bad rates": f"{rate:.1%} + margin",
        "share": share,
        "margin": margin,
        "told": None,
        "measured": None,
        "told / measured": None,
        "planned sample": None,
        "refused": None,
        "called harmful": None,
        "promoted": round(promoted, 4),
        "holds": promoted <= ALPHA + 2.0 * math.sqrt(ALPHA * (1.0 - ALPHA) / paths),
    }


def _one(
    rng: np.random.Generator,
    stable: float,
    canary: float,
    share: float,
    margin: float,
    horizon: int,
) -> tuple[float, float]:
    """Requests at which harm was proved (inf: not before promotion), and promotion."""
    process = GuardrailProcess()
    step, at, harmed = max(20, horizon // 800), 0, math.inf
    while at < horizon:
        at += step
        to_canary = int(rng.binomial(step, share))
        process = process.update(
            Stretch(
                stable=_arm(rng, step - to_canary, stable),
                canary=_arm(rng, to_canary, canary),
                share=share,
            )
        )
        if math.isinf(harmed) and process.log_e_harm >= -math.log(ALPHA):
            harmed = at
        if process.log_e_non_inferior(margin) >= -math.log(ALPHA):
            return harmed, at
    return harmed, horizon


def _arm(rng: np.random.Generator, requests: int, rate: float) -> ArmCounts:
    return ArmCounts(requests=requests, bad=int(rng.binomial(requests, rate)))


if __name__ == "__main__":
    sys.exit(run("Promotion of an equal canary, alpha = beta = 5 %", measure))
