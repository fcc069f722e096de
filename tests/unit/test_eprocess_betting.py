"""Bets on bounded means: fair games stay fair, changes are found, bounds cover."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.errors import Invalid
from tools.statistics.betting import RestartedBets, empirical_bernstein, mean_bounds


def bet(values: list[float], *, worst: float) -> RestartedBets:
    """The process after these observations."""
    process = RestartedBets()
    for value in values:
        process = process.update(value, worst=worst)
    return process


@pytest.mark.parametrize(("worst", "best"), [(-1.0, 1.0), (-0.2, 3.0), (-2.0, 0.1)])
def test_a_fair_game_keeps_its_expected_wealth(worst: float, best: float) -> None:
    """Mean exactly 0: the expected e-value is 1 after 10 observations, over all 1,024 paths."""
    up = -worst / (best - worst)
    expected = sum(
        math.prod(up if value == best else 1.0 - up for value in path)
        * math.exp(bet(list(path), worst=worst).log_e)
        for path in itertools.product((worst, best), repeat=10)
    )

    assert expected == pytest.approx(1.0, abs=1e-9)


@given(st.lists(st.floats(-1.0, 5.0), max_size=60))
def test_wealth_is_never_negative_and_always_finite(values: list[float]) -> None:
    """Whatever comes, the state can be written to the journal as JSON."""
    process = bet(values, worst=-1.0)

    assert all(0.0 <= wealth < math.inf for wealth in process.wealth)
    assert math.isfinite(process.log_e)
    assert RestartedBets.model_validate_json(process.model_dump_json()) == process


def test_a_change_after_a_long_good_time_is_found_soon() -> None:
    """Without restarts, 1,000 good observations would hide it for more than 1,000 more."""
    bad = [0.3] * 80

    def steps_to_alarm(good: list[float]) -> int:
        process = bet(good, worst=-1.0)
        for step, value in enumerate(bad, start=1):
            process = process.update(value, worst=-1.0)
            if process.log_e >= math.log(20):
                return step
        raise AssertionError("never found")

    assert steps_to_alarm([]) <= 25
    assert steps_to_alarm([-0.3] * 1000) <= 60


def test_no_change_raises_at_most_alpha_false_alarms_over_a_thousand_looks() -> None:
    """Skewed noise of mean 0, alpha 5 %: at most 5 % of 250 lives alarm (3.3 standard errors)."""
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(250):
        process = RestartedBets()
        for value in rng.exponential(0.3, size=1000) - 0.3:
            process = process.update(float(value), worst=-0.3)
            if process.log_e >= math.log(20):
                alarms += 1
                break

    assert alarms <= 250 * 0.05 + 3.3 * math.sqrt(250 * 0.0475)


@pytest.mark.parametrize("value", [-1.5, math.nan, math.inf])
def test_a_value_outside_its_bounds_is_refused(value: float) -> None:
    """A bet that could lose more than all would not be evidence."""
    with pytest.raises(Invalid, match="excess"):
        RestartedBets().update(value, worst=-1.0)


def test_the_confidence_sequence_covers_the_mean_at_every_look() -> None:
    """200 sequences of 300 values: the true mean leaves the bounds in at most alpha of them."""
    rng = np.random.default_rng(6)
    missed = 0
    for _ in range(200):
        low, high = mean_bounds(rng.beta(1.0, 4.0, size=300), alpha=0.1)
        missed += bool(np.any(low > 0.2) or np.any(high < 0.2))

    assert missed <= 200 * 0.1 + 3.3 * math.sqrt(18)
    assert np.all(np.diff(low) >= 0.0)
    assert np.all(np.diff(high) <= 0.0)
    assert high[-1] - low[-1] < 0.12


def test_the_interval_of_moments_covers_the_mean() -> None:
    """Empirical Bernstein at 400 values: never missed in 300 tries at alpha 5 %, and not silly."""
    rng = np.random.default_rng(7)
    missed = 0
    for _ in range(300):
        values = rng.beta(1.0, 4.0, size=400)
        found = empirical_bernstein(
            400, float(values.sum()), float((values**2).sum()), span=1.0, alpha=0.05
        )
        missed += not found.low <= 0.2 <= found.high

    assert missed <= 15
    assert found.high - found.low < 0.15


@pytest.mark.parametrize("values", [[], [1.2], [math.nan]])
def test_values_outside_the_unit_interval_are_refused(values: list[float]) -> None:
    """Nothing to bound, or not bounded."""
    with pytest.raises(Invalid, match="values"):
        mean_bounds(values, alpha=0.05)
