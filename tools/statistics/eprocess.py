"""Log e-values of two arms that share traffic: is the canary worse, is it no worse than a margin?

Every request goes to the canary with probability ``share``, fixed before the stretch began. A
process here is a mixture over fixed alternatives of products of one factor per request; each
factor has conditional mean at most 1 under the null hypothesis, so the product is a test
supermartingale and, by Ville's inequality, exceeds 1/alpha with probability at most alpha over
*all* looks. The products depend on the data only through the counts per share: states stay small,
the order inside a stretch does not matter, and rates may move in time as long as the hypothesis
holds at each moment. Requests must be independent given the past (no retries counted twice).

Sources: Lindon & Malek 2022 (arXiv 2011.03567) for the allocation of events; Turner, Ly &
Grünwald 2024 (arXiv 2106.02693) for two proportions. docs/evidence-canary.md has the proofs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tools.values import Value

Floats = NDArray[np.float64]

MAX_MARGIN = 0.5
"""Wider margins are read as this one, so that every decision needs some evidence."""


class ArmCounts(Value):
    """What one arm answered between two readings."""

    requests: int = Field(default=0, ge=0)
    bad: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _bad_are_requests(self) -> ArmCounts:
        if self.bad > self.requests:
            raise ValueError(f"bad: expected at most {self.requests} (requests), got {self.bad}")
        return self

    def __add__(self, other: ArmCounts) -> ArmCounts:
        return ArmCounts(requests=self.requests + other.requests, bad=self.bad + other.bad)


class Stretch(Value):
    """Counts of both arms while the canary's configured weight did not change."""

    stable: ArmCounts = ArmCounts()
    canary: ArmCounts = ArmCounts()
    share: float = Field(ge=0.0, le=1.0)
    """The canary's configured weight, fixed before the stretch began."""


def fold(stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """One stretch per share, sorted: all that the processes need to know."""
    ordered = sorted(stretches, key=lambda stretch: stretch.share)
    return tuple(
        Stretch(
            stable=sum((each.stable for each in same), ArmCounts()),
            canary=sum((each.canary for each in same), ArmCounts()),
            share=share,
        )
        for share, same in ((key, list(group)) for key, group in groupby(ordered, _share))
    )


def log_harm(stretches: Sequence[Stretch]) -> float:
    """Log e-value against "the canary is not worse", by where bad answers fell.

    If both arms are equally good, a bad answer fell on the canary with probability ``share``,
    whatever the rate. Alternatives: the canary's odds are r > 1 times that, the same r through
    all shares, so evidence of earlier steps keeps its weight. Works when stable has no bad answer.
    """
    counts = [(each.canary.bad, each.stable.bad, each.share) for each in stretches]
    return _log_allocation(counts, _harm_odds(), floor=0.0)


def log_share_mismatch(stretches: Sequence[Stretch], *, tolerance: float = 0.02) -> float:
    """Log e-value against "requests follow the share", both directions.

    ``tolerance``: log odds by which the share may be off without counting (counters of two arms
    are never read at the very same instant).
    """
    more = [(each.canary.requests, each.stable.requests, each.share) for each in stretches]
    less = [(stable, canary, 1.0 - share) for canary, stable, share in more]
    sides = [_log_allocation(side, _mismatch_odds(), floor=tolerance) for side in (more, less)]
    return log_mean(np.array(sides), np.array([0.5, 0.5]))


def log_non_inferiority(stretches: Sequence[Stretch], margin: float) -> float:
    """Log e-value against "the canary's bad rate is at least stable's plus ``margin``".

    Any margin may be asked of the same counts: each margin has its own process.
    """
    margin = min(margin, MAX_MARGIN)
    log_e = np.zeros(len(_alternatives(margin)[0]))
    for each in stretches:
        if each.share > 0.0:  # without a canary nothing is learned about it
            factors = non_inferiority_factors(margin, each.share)
            counts = (
                each.stable.bad,
                each.stable.requests - each.stable.bad,
                each.canary.bad,
                each.canary.requests - each.canary.bad,
            )
            for count, factor in zip(counts, factors, strict=True):
                if count:  # 0 times an impossible outcome is 0, not NaN
                    log_e = log_e + count * factor
    return log_mean(log_e, _alternatives(margin)[2])


@lru_cache(maxsize=256)
def non_inferiority_factors(margin: float, share: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Log factors per alternative of: a bad and a good stable answer, a bad and a good canary one.

    The ratio of the alternative to its projection onto the null set (nearest in Kullback-Leibler
    divergence, arms weighted by the share). The null set is convex, so the first-order condition
    at the projection is exactly "the mean factor is at most 1 everywhere in the null set".
    """
    stable, canary, _ = _alternatives(margin)
    null_stable = nearest_null(stable, canary, margin, share)
    return (
        _log_ratio(stable, null_stable),
        _log_ratio(1.0 - stable, 1.0 - null_stable),
        _log_ratio(canary, null_stable + margin),
        _log_ratio(1.0 - canary, 1.0 - null_stable - margin),
    )


def non_inferiority_weights(margin: float) -> Floats:
    """Prior weights of the alternatives, in the order of ``non_inferiority_factors``."""
    return _alternatives(min(margin, MAX_MARGIN))[2]


def log_mean(log_values: Floats, weights: Floats) -> float:
    """Log of the weighted mean of exp(log_values), without overflow."""
    top = float(np.max(log_values))
    return top + float(np.log(np.sum(weights * np.exp(log_values - top))))


def _share(stretch: Stretch) -> float:
    return stretch.share


def _log_allocation(
    counts: Sequence[tuple[int, int, float]], prior: tuple[Floats, Floats], *, floor: float
) -> float:
    """Mixture over log odds ratios of allocations ``(canary, stable, share)``.

    Null: log odds ratio at most ``floor``. The factor's mean grows with the true odds, so being
    at most 1 at the floor it is at most 1 below it.
    """
    log_odds, weights = prior
    log_e = np.zeros(len(log_odds))
    for canary, stable, share in counts:
        if 0.0 < share < 1.0:  # at 0 or 1 the allocation is certain and says nothing
            hit, miss = allocation_factors(log_odds, share, floor=floor)
            log_e = log_e + canary * hit + stable * miss
    return log_mean(log_e, weights)


def allocation_factors(log_odds: Floats, share: float, *, floor: float) -> tuple[Floats, Floats]:
    """Log factors of one event on the canary and of one on stable, per alternative."""
    null = share * np.exp(floor) / (share * np.exp(floor) + 1.0 - share)
    grown = null * np.exp(log_odds) / (null * np.exp(log_odds) + 1.0 - null)
    return np.log(grown / null), np.log((1.0 - grown) / (1.0 - null))


def harm_prior() -> tuple[Floats, Floats]:
    """Log relative risks that count as harm, and their weights."""
    return _harm_odds()


@lru_cache(maxsize=1)
def _harm_odds() -> tuple[Floats, Floats]:
    """Gamma(2, 0.6) on the log relative risk: most weight near "twice as many", long tail."""
    log_odds = np.geomspace(0.005, 5.5, 44)
    return log_odds, _normalised(log_odds * np.exp(-log_odds / 0.6) * log_odds)


@lru_cache(maxsize=1)
def _mismatch_odds() -> tuple[Floats, Floats]:
    """Log-uniform: a share may be off by a little (rounding) or by much (a dead arm)."""
    log_odds = np.geomspace(0.02, 6.0, 32)
    return log_odds, _normalised(np.ones_like(log_odds))


@lru_cache(maxsize=64)
def _alternatives(margin: float) -> tuple[Floats, Floats, Floats]:
    """Bad rates of stable and canary, and weights: the states in which to promote.

    "No bad answer anywhere" is by far the most frequent and gets an atom; else equal arms, a
    canary worse by half of the margin, and a canary twice as good, each on a grid of rates.
    """
    rates = np.geomspace(1e-4, 0.5, 20)
    stable = np.concatenate([[0.0], rates, rates, rates])
    canary = np.concatenate([[0.0], rates, rates + margin / 2.0, rates / 2.0])
    shape = np.ones_like(rates) / len(rates)
    weights = np.concatenate([[0.4], 0.4 * shape, 0.1 * shape, 0.1 * shape])
    return stable, canary, weights


def nearest_null(stable: Floats, canary: Floats, margin: float, share: float) -> Floats:
    """Stable's rate at the point of the null set (canary = stable + margin) nearest in KL."""
    low = np.maximum(0.0, canary - margin)
    high = np.maximum(low, np.minimum(stable, 1.0 - margin))
    for _ in range(60):  # bisection on the derivative, which grows
        middle = (low + high) / 2.0
        rising = _slope(stable, canary, middle, margin, share) > 0.0
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    return high


def _slope(stable: Floats, canary: Floats, null: Floats, margin: float, share: float) -> Floats:
    other = null + margin
    with np.errstate(divide="ignore", invalid="ignore"):
        toward_stable = (null - stable) / (null * (1.0 - null))
        toward_canary = (other - canary) / (other * (1.0 - other))
    slope = (1.0 - share) * np.nan_to_num(toward_stable) + share * np.nan_to_num(toward_canary)
    return np.asarray(slope, dtype=np.float64)


def _log_ratio(alternative: Floats, null: Floats) -> Floats:
    """Impossible under the alternative is -inf, also where the null point excludes it too."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(alternative) - np.log(null)
    return np.where(alternative > 0.0, ratio, -np.inf)


def _normalised(weights: Floats) -> Floats:
    return np.asarray(weights / np.sum(weights), dtype=np.float64)
