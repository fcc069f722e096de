"""The e-processes on two arms: their null guarantee, their oracles, their laws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from scipy.optimize import minimize_scalar

from tools.statistics.eprocess import (
    ArmCounts,
    Stretch,
    fold,
    harm_prior,
    log_harm,
    log_non_inferiority,
    log_share_mismatch,
    nearest_null,
    non_inferiority_factors,
    non_inferiority_weights,
)

rates = st.floats(0.0, 1.0)
shares = st.floats(0.01, 0.99)
margins = st.floats(0.0, 0.5)
counts = st.integers(0, 500)

LogE = Callable[[Sequence[Stretch]], float]


def stretch(stable: tuple[int, int], canary: tuple[int, int], share: float) -> Stretch:
    """Arms as (requests, bad)."""
    return Stretch(
        stable=ArmCounts(requests=stable[0], bad=stable[1]),
        canary=ArmCounts(requests=canary[0], bad=canary[1]),
        share=share,
    )


@st.composite
def stretches(draw: st.DrawFn) -> Stretch:
    """Any stretch with a share between the arms."""
    arms = [draw(counts) for _ in range(2)]
    bad = [draw(st.integers(0, arm)) for arm in arms]
    return stretch((arms[0], bad[0]), (arms[1], bad[1]), draw(st.sampled_from([0.05, 0.25, 0.5])))


@settings(max_examples=300, deadline=None)
@given(stable=rates, excess=rates, share=shares, margin=margins)
def test_no_null_rates_make_a_request_worth_more_than_one(
    stable: float, excess: float, share: float, margin: float
) -> None:
    """The mean factor of one request is at most 1 for every alternative, all over the null set."""
    stable = stable * (1.0 - margin)
    canary = stable + margin + excess * (1.0 - margin - stable)
    stable_bad, stable_good, canary_bad, canary_good = (
        np.exp(factor) for factor in non_inferiority_factors(margin, share)
    )
    on_stable = stable * stable_bad + (1.0 - stable) * stable_good
    on_canary = canary * canary_bad + (1.0 - canary) * canary_good

    assert np.all((1.0 - share) * on_stable + share * on_canary <= 1.0 + 1e-9)


@settings(max_examples=100, deadline=None)
@given(stable=st.floats(0.001, 0.6), share=shares, margin=st.floats(0.01, 0.4))
def test_the_nearest_null_point_is_the_nearest(stable: float, share: float, margin: float) -> None:
    """Bisection agrees with a numerical minimiser of the divergence (scipy)."""
    found = float(nearest_null(np.array([stable]), np.array([stable]), margin, share)[0])

    def divergence(null: float) -> float:
        arms = ((1.0 - share, stable, null), (share, stable, null + margin))
        return sum(w * stats.entropy([p, 1.0 - p], [q, 1.0 - q]) for w, p, q in arms)

    best = minimize_scalar(divergence, bounds=(1e-9, 1.0 - margin - 1e-9), method="bounded")
    assert divergence(found) <= float(best.fun) + 1e-9


def test_harm_is_the_mixture_of_binomial_likelihood_ratios() -> None:
    """One share: the e-value is a ratio of probabilities that scipy can compute."""
    log_odds, weights = harm_prior()
    grown = 0.1 * np.exp(log_odds) / (0.1 * np.exp(log_odds) + 0.9)
    expected = np.sum(weights * stats.binom.pmf(9, 40, grown)) / stats.binom.pmf(9, 40, 0.1)

    assert log_harm([stretch((900, 31), (100, 9), 0.1)]) == pytest.approx(math.log(expected))


def test_harm_is_proved_when_stable_never_fails() -> None:
    """With no bad answer on stable there is still an answer, after a handful of bad ones."""
    proved = [
        bad
        for bad in range(1, 8)
        if log_harm([stretch((1900, 0), (100, bad), 0.05)]) >= math.log(20)
    ]

    assert proved[0] in (2, 3)


def test_no_bad_answer_anywhere_follows_the_closed_form() -> None:
    """With nothing bad the atom at 0 dominates: prior weight times (1 - margin)^-n."""
    log_e = log_non_inferiority([stretch((3600, 0), (400, 0), 0.1)], 0.02)
    atom = math.log(non_inferiority_weights(0.02)[0]) - 400 * math.log1p(-0.02)

    assert atom <= log_e <= atom + math.log(2)


def test_evidence_of_early_steps_counts_for_a_tighter_margin() -> None:
    """The same counts answer every margin, and more requests at a larger share add up."""
    early = [stretch((1900, 0), (100, 0), 0.05)]
    later = [*early, stretch((750, 0), (250, 0), 0.25)]

    assert log_non_inferiority(early, 0.1) > math.log(20) > log_non_inferiority(early, 0.02)
    assert log_non_inferiority(later, 0.02) > math.log(20)
    assert log_non_inferiority(later[1:], 0.02) < log_non_inferiority(later, 0.02)


def test_at_full_share_a_clean_canary_still_proves_the_margin() -> None:
    """Without stable traffic only "the canary's own rate is below the margin" can be shown."""
    assert log_non_inferiority([stretch((0, 0), (400, 0), 1.0)], 0.02) > math.log(20)
    assert log_non_inferiority([stretch((0, 0), (400, 20), 1.0)], 0.02) < 0.0
    assert log_harm([stretch((0, 0), (400, 20), 1.0)]) == pytest.approx(0.0)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(stretches(), min_size=1, max_size=6).flatmap(
        lambda parts: st.tuples(st.just(parts), st.permutations(parts))
    )
)
def test_order_and_cutting_of_stretches_do_not_matter(
    orders: tuple[list[Stretch], list[Stretch]],
) -> None:
    """Only the counts per share count."""
    parts, shuffled = orders

    assert fold(shuffled) == fold(parts)
    for value in (log_harm, log_share_mismatch, lambda s: log_non_inferiority(s, 0.02)):
        assert value(fold(parts)) == pytest.approx(value(shuffled), abs=1e-6)


@given(parts=st.lists(stretches(), max_size=4), margin=margins)
def test_e_values_are_finite_numbers(parts: list[Stretch], margin: float) -> None:
    """Nothing that can be counted makes an e-value infinite or NaN: the journal can hold it."""
    values = [log_harm(parts), log_share_mismatch(parts), log_non_inferiority(parts, margin)]

    assert all(math.isfinite(value) for value in values)


def simulate(
    rng: np.random.Generator, stable: list[float], canary: list[float], shares: list[float]
) -> list[Stretch]:
    """One path: 200 requests per look, at these rates and shares."""
    path = []
    for p0, p1, share in zip(stable, canary, shares, strict=True):
        to_canary = int(rng.binomial(200, share))
        arms = (200 - to_canary, int(rng.binomial(200 - to_canary, p0)))
        path.append(stretch(arms, (to_canary, int(rng.binomial(to_canary, p1))), share))
    return path


def false_alarms(paths: list[list[Stretch]], log_e: LogE, alpha: float) -> int:
    """How many paths ever reach 1/alpha, looking after each stretch."""
    return sum(
        any(log_e(fold(path[:look])) >= -math.log(alpha) for look in range(1, len(path) + 1))
        for path in paths
    )


SHARES = [0.05] * 8 + [0.25] * 8 + [0.5] * 8
MOVING = [0.02 + 0.04 * (look % 5) for look in range(24)]
"""The rate moves five-fold between looks, in both arms alike."""


def test_harm_stays_within_alpha_while_rates_and_shares_move() -> None:
    """No harm, 24 looks: at most alpha of the paths alarm (300 paths, 3.3 standard errors)."""
    rng = np.random.default_rng(1)
    paths = [simulate(rng, MOVING, MOVING, SHARES) for _ in range(300)]

    assert false_alarms(paths, log_harm, 0.1) <= 300 * 0.1 + 3.3 * math.sqrt(300 * 0.09)


def test_a_canary_at_the_margin_is_rarely_proved_within_it() -> None:
    """Worse by exactly the margin, rates moving: at most alpha of the paths are promoted."""
    rng = np.random.default_rng(2)
    worse = [rate + 0.02 for rate in MOVING]
    paths = [simulate(rng, MOVING, worse, SHARES) for _ in range(300)]
    promoted = false_alarms(paths, lambda path: log_non_inferiority(path, 0.02), 0.1)

    assert promoted <= 300 * 0.1 + 3.3 * math.sqrt(300 * 0.09)


def test_a_canary_at_the_margin_with_a_perfect_stable_is_rarely_proved_within_it() -> None:
    """The corner where stable never fails, which the atom at 0 bets on."""
    rng = np.random.default_rng(3)
    paths = [simulate(rng, [0.0] * 24, [0.02] * 24, SHARES) for _ in range(300)]
    promoted = false_alarms(paths, lambda path: log_non_inferiority(path, 0.02), 0.1)

    assert 0 < promoted <= 300 * 0.1 + 3.3 * math.sqrt(300 * 0.09)


def test_the_sample_ratio_tolerates_its_tolerance_and_finds_more() -> None:
    """A share of 10 % that is really 10 % is left alone; 5 % is found within 1,000 requests."""
    rng = np.random.default_rng(4)
    paths = [simulate(rng, [0.0] * 24, [0.0] * 24, SHARES) for _ in range(300)]

    assert false_alarms(paths, log_share_mismatch, 0.1) <= 300 * 0.1 + 3.3 * math.sqrt(27)
    assert log_share_mismatch([stretch((950, 0), (50, 0), 0.1)]) > math.log(100)
    assert log_share_mismatch([stretch((900, 0), (100, 0), 0.1)]) < 0.0
    assert log_share_mismatch([stretch((9_000_000, 0), (1_010_000, 0), 0.1)]) < 0.0


@pytest.mark.parametrize(
    ("arm", "field"),
    [({"requests": -1}, "requests"), ({"requests": 1, "bad": 2}, "bad"), ({"bad": 0.5}, "bad")],
)
def test_impossible_counts_are_refused(arm: dict[str, float], field: str) -> None:
    """A counter that went backwards, more bad answers than answers, a ratio: the field is named."""
    with pytest.raises(ValidationError, match=field):
        ArmCounts.model_validate(arm)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_impossible_shares_are_refused(share: float) -> None:
    """Percent where a share is expected, or NaN."""
    with pytest.raises(ValidationError, match="share"):
        Stretch(share=share)
