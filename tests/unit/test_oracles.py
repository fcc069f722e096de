"""Somebody else's code for the same statistics agrees with ours, where it is installed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tools.statistics.eprocess import ArmCounts, Stretch, log_harm

ALPHA, SHARE = 0.05, 0.1


def needed(log_e: Callable[[int, int], float], odds: float, rng: np.random.Generator) -> int:
    """Bad answers until ``log_e(canary, stable)`` proves that the canary gets more than its share,
    when a bad answer is ``odds`` times as likely there."""
    chance = SHARE * odds / (SHARE * odds + 1 - SHARE)
    canary = stable = 0
    for bad in range(1, 2000):
        on_canary = bool(rng.random() < chance)
        canary, stable = canary + on_canary, stable + (not on_canary)
        if log_e(canary, stable) >= -math.log(ALPHA):
            return bad
    return 2000


def ours(canary: int, stable: int) -> float:
    stretch = Stretch(
        stable=ArmCounts(requests=900_000, bad=stable),
        canary=ArmCounts(requests=100_000, bad=canary),
        share=SHARE,
    )
    return log_harm((stretch,))


def test_harm_is_proved_as_soon_as_by_savvis_sequential_multinomial_test() -> None:
    """Lindon & Malek's test by its author (PyPI ``savvi``), two-sided with a Dirichlet prior: ours
    is one-sided and needs no more bad answers on the average, and neither alarms without harm."""
    multinomial = pytest.importorskip("savvi.multinomial")
    odds = np.array([SHARE, 1 - SHARE])

    def theirs(canary: int, stable: int) -> float:
        test = multinomial.Multinomial(ALPHA, odds, 20)
        test.update(np.array([canary, stable]))
        return float(np.log(test.odds))

    for odds_ratio in (2.0, 4.0):
        mean_ours = np.mean([needed(ours, odds_ratio, np.random.default_rng(s)) for s in range(30)])
        mean_theirs = np.mean(
            [needed(theirs, odds_ratio, np.random.default_rng(s)) for s in range(30)]
        )
        assert 0.5 * mean_theirs <= mean_ours <= 1.1 * mean_theirs

    for rule in (ours, theirs):
        alarms = sum(needed(rule, 1.0, np.random.default_rng(s)) < 2000 for s in range(20))
        assert alarms <= 3
