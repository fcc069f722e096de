"""How many requests a canary's decision will take, before it starts.

The lower bound holds for every test (Wald's inequality: the expected log-likelihood ratio at the
stop must reach what alpha and beta demand). The expected number and the quantiles are those of
our own test, by simulation from a seed: same seed, same figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tools.errors import Invalid
from tools.statistics.eprocess import (
    MAX_MARGIN,
    Floats,
    allocation_factors,
    harm_prior,
    nearest_null,
    non_inferiority_factors,
    non_inferiority_weights,
)
from tools.values import Value

PATHS = 4000
LOOKS_PER_BOUND = 60
"""Looks within the shortest possible time: more change the figures by less than 2 %."""
LONGEST = 60
"""Paths are followed for this many times the shortest possible time."""

Counts = NDArray[np.int64]


class DecisionTime(Value):
    """Requests of both arms together until the decision."""

    question: Literal["harm", "promotion"]
    lower_bound: int
    """No test with these error rates needs fewer on average."""
    expected: int
    p90: int
    planned: int
    """Enough for a decision with probability 1 - beta."""


def harm_time(
    stable_rate: float,
    canary_rate: float,
    share: float,
    *,
    alpha: float = 0.05,
    beta: float = 0.05,
    seed: int = 0,
) -> DecisionTime:
    """Until a canary with this rate is proved worse than stable."""
    _check(stable_rate, canary_rate, share, alpha, beta)
    if canary_rate <= stable_rate:
        raise Invalid(
            f"expected more than the stable rate {stable_rate:g}, got {canary_rate:g}",
            field="canary_rate",
        )
    bad_rate = share * canary_rate + (1.0 - share) * stable_rate
    on_canary = share * canary_rate / bad_rate
    rng = np.random.default_rng(seed)
    shortest = -math.log(alpha) / _kl(on_canary, share)
    walk = _harm_walk(share, on_canary, alpha, shortest, rng)
    events, missed = _first_crossings(walk if _grows(on_canary, share) else iter(()), PATHS)
    if missed > PATHS // 100:
        raise Invalid(
            f"{canary_rate:g} is too close to the stable rate {stable_rate:g} for this test",
            field="canary_rate",
        )
    requests = events + rng.negative_binomial(events, bad_rate) if bad_rate < 1.0 else events
    bound = harm_bound(stable_rate, canary_rate, share, alpha=alpha, beta=beta)
    return _decision_time("harm", bound, requests, beta)


def promotion_time(
    stable_rate: float,
    canary_rate: float,
    share: float,
    *,
    margin: float,
    alpha: float = 0.05,
    beta: float = 0.05,
    seed: int = 0,
) -> DecisionTime:
    """Until a canary with this rate is proved to be worse by less than ``margin``."""
    _check(stable_rate, canary_rate, share, alpha, beta)
    if not 0.0 < margin < 1.0:
        raise Invalid(f"expected a number between 0 and 1, got {margin:g}", field="margin")
    margin = min(margin, MAX_MARGIN)
    if canary_rate >= stable_rate + margin:
        raise Invalid(
            f"expected more than the canary's excess {canary_rate - stable_rate:g}, got {margin:g}",
            field="margin",
        )
    information = _information(stable_rate, canary_rate, share, margin)
    rng = np.random.default_rng(seed)
    walk = _promotion_walk(stable_rate, canary_rate, share, margin, alpha, information, rng)
    requests, missed = _first_crossings(walk, PATHS)
    if missed > PATHS // 100:
        raise Invalid(
            f"{margin:g} is too close to the canary's excess for this test", field="margin"
        )
    return _decision_time("promotion", _demand(alpha, beta) / information, requests, beta)


def harm_bound(
    stable_rate: float, canary_rate: float, share: float, *, alpha: float, beta: float
) -> float:
    """Fewest requests, on average, in which any test can tell these rates from equal ones."""
    pooled = share * canary_rate + (1.0 - share) * stable_rate
    information = share * _kl(canary_rate, pooled) + (1.0 - share) * _kl(stable_rate, pooled)
    return _demand(alpha, beta) / information


Walk = Iterator[tuple[int, Callable[[Counts], tuple[Counts, NDArray[np.bool_]]]]]


def _harm_walk(
    share: float, on_canary: float, alpha: float, shortest: float, rng: np.random.Generator
) -> Walk:
    """Looks at every ``block`` bad answers; a path's state is how many fell on the canary."""
    block = max(1, int(shortest / LOOKS_PER_BOUND))
    for look in range(1, LONGEST * LOOKS_PER_BOUND + 1):
        total = look * block
        needed = _fewest_on_canary(total, share, alpha)

        def step(state: Counts, needed: int = needed) -> tuple[Counts, NDArray[np.bool_]]:
            state = state + rng.binomial(block, on_canary, size=state.shape)
            return state, state[:, 0] >= needed

        yield total, step


def _promotion_walk(
    stable_rate: float,
    canary_rate: float,
    share: float,
    margin: float,
    alpha: float,
    information: float,
    rng: np.random.Generator,
) -> Walk:
    """Looks at every ``block`` requests; the state is the four counts of log_non_inferiority."""
    block = max(1, int(-math.log(alpha) / information / LOOKS_PER_BOUND))
    factors = np.maximum(np.array(non_inferiority_factors(margin, share)), -1e6)
    log_weights = np.log(non_inferiority_weights(margin))

    def step(state: Counts) -> tuple[Counts, NDArray[np.bool_]]:
        canary = rng.binomial(block, share, size=len(state))
        canary_bad = rng.binomial(canary, canary_rate)
        stable_bad = rng.binomial(block - canary, stable_rate)
        grown = [stable_bad, block - canary - stable_bad, canary_bad, canary - canary_bad]
        state = state + np.stack(grown, axis=1)
        log_e = np.logaddexp.reduce(state @ factors + log_weights, axis=1)
        return state, log_e >= -math.log(alpha)

    for look in range(1, LONGEST * LOOKS_PER_BOUND + 1):
        yield look * block, step


def _first_crossings(walk: Walk, paths: int) -> tuple[Counts, int]:
    """When each path crossed (the end of the walk where it did not), and how many did not."""
    state = np.zeros((paths, 4), dtype=np.int64)
    alive = np.arange(paths)
    crossed = np.zeros(paths, dtype=np.int64)
    at = 0
    for at, step in walk:
        state, done = step(state)
        crossed[alive[done]] = at
        state, alive = state[~done], alive[~done]
        if not len(alive):
            break
    crossed[alive] = at
    return crossed, len(alive)


def _grows(on_canary: float, share: float) -> bool:
    """Whether any alternative of the test gains evidence from such a canary at all."""
    hit, miss = allocation_factors(harm_prior()[0], share, floor=0.0)
    return float(np.max(on_canary * hit + (1.0 - on_canary) * miss)) > 0.0


def _fewest_on_canary(total: int, share: float, alpha: float) -> int:
    """The smallest number of ``total`` bad answers on the canary that proves harm.

    The log e-value is convex in the number and grows in it, so bisection finds it.
    """
    log_odds, weights = harm_prior()
    hit, miss = allocation_factors(log_odds, share, floor=0.0)
    low, high = -1, total + 1
    while high - low > 1:
        middle = (low + high) // 2
        exponents: Floats = middle * hit + (total - middle) * miss + np.log(weights)
        proved = float(np.logaddexp.reduce(exponents)) >= -math.log(alpha)
        low, high = (low, middle) if proved else (middle, high)
    return high


def _information(stable_rate: float, canary_rate: float, share: float, margin: float) -> float:
    """Per request, against the nearest point at which the canary is worse by the margin."""
    stable, canary = np.array([stable_rate]), np.array([canary_rate])
    null = float(nearest_null(stable, canary, margin, share)[0])
    return share * _kl(canary_rate, null + margin) + (1.0 - share) * _kl(stable_rate, null)


def _demand(alpha: float, beta: float) -> float:
    return _kl(1.0 - beta, alpha)


def _kl(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two coins, in nats."""
    return _term(p, q) + _term(1.0 - p, 1.0 - q)


def _term(p: float, q: float) -> float:
    return p * math.log(p / q) if p > 0.0 else 0.0


def _decision_time(
    question: Literal["harm", "promotion"], bound: float, requests: Counts, beta: float
) -> DecisionTime:
    sure = 1.0 - beta + 2.0 * math.sqrt(beta * (1.0 - beta) / PATHS)  # the simulation's own error
    return DecisionTime(
        question=question,
        lower_bound=round(bound),
        expected=round(float(np.mean(requests))),
        p90=math.ceil(float(np.quantile(requests, 0.9))),
        planned=math.ceil(float(np.quantile(requests, min(sure, 1.0)))),
    )


def _check(stable_rate: float, canary_rate: float, share: float, alpha: float, beta: float) -> None:
    for field, value in (("stable_rate", stable_rate), ("canary_rate", canary_rate)):
        if not 0.0 <= value < 1.0:
            raise Invalid(f"expected a share of requests from 0 to 1, got {value:g}", field=field)
    for field, value in (("share", share), ("alpha", alpha), ("beta", beta)):
        if not 0.0 < value < 1.0:
            raise Invalid(f"expected a number between 0 and 1, got {value:g}", field=field)
    if alpha + beta >= 1.0:
        raise Invalid(f"expected alpha + beta below 1, got {alpha + beta:g}", field="beta")
