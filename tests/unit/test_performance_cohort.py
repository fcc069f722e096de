"""Champion against challenger on the same matured rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.errors import Invalid
from tools.statistics.cohort import CohortProcess, PairedWindow, compare_cohorts, pair
from tools.statistics.losses import Floats
from tools.statistics.verdict import Verdict


def logistic(logit: Floats) -> Floats:
    """Probability of these log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-logit)), dtype=np.float64)


def cohort(seed: int, *, noise: float, windows: int = 40) -> list[PairedWindow]:
    """The champion knows the truth; ``noise`` is what the challenger adds to its log odds.

    Days shake the rate of both: what they bring must cancel.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(windows):
        logit = rng.normal(-1.3, 1.0, size=300)
        truth = logistic(logit + rng.normal(0.0, 0.5))
        y = (rng.random(300) < truth).astype(np.float64)
        challenger = logistic(logit + noise * rng.normal(size=300))
        found.append(pair(challenger, logistic(logit), y))
    return found


def test_a_worse_challenger_is_harmful() -> None:
    """Noise in its log odds costs about 0.1 nats: proved within weeks."""
    assert compare_cohorts(cohort(1, noise=1.0), alpha=0.05).verdict is Verdict.HARMFUL


def test_a_better_challenger_is_healthy() -> None:
    """The same the other way round."""
    windows = [
        PairedWindow(
            matured=one.matured,
            labelled=one.labelled,
            difference=-one.difference,
            least=-one.most,
            most=-one.least,
        )
        for one in cohort(1, noise=1.0)
    ]

    assert compare_cohorts(windows, alpha=0.05).verdict is Verdict.HEALTHY


def test_an_equal_challenger_is_never_harmful_and_proved_in_the_end() -> None:
    """Nearly the same model: within the margin, after enough windows; one window says nothing."""
    windows = cohort(2, noise=0.1, windows=200)

    assert compare_cohorts(windows[:1], alpha=0.05).verdict is Verdict.UNKNOWN
    assert compare_cohorts(windows, alpha=0.05, margin=0.02).verdict is Verdict.HEALTHY


def test_missing_labels_are_unknown() -> None:
    """Without labels there is no quality, good or bad."""
    nothing = pair(np.array([0.1, 0.9]), np.array([0.2, 0.2]), np.array([math.nan, math.nan]))

    assert CohortProcess.start().judge(alpha=0.05).verdict is Verdict.UNKNOWN
    assert compare_cohorts([nothing] * 50, alpha=0.05).verdict is Verdict.UNKNOWN


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.0, 1.0, math.nan])),
        min_size=1,
        max_size=30,
    )
)
def test_no_labels_can_leave_the_bounds(rows: list[tuple[float, float, float]]) -> None:
    """What a bet can lose is known before the labels, and swapping the models mirrors it."""
    new, old, y = (np.array(column) for column in zip(*rows, strict=True))
    one, other = pair(new, old, y), pair(old, new, y)

    assert one.least - 1e-9 <= one.difference <= one.most + 1e-9
    assert other.difference == pytest.approx(-one.difference)
    assert other.least == pytest.approx(-one.most)


def test_equal_models_raise_at_most_alpha_false_alarms() -> None:
    """A challenger exactly at the margin: neither side errs more than alpha (100 lives)."""
    rng = np.random.default_rng(3)
    harmful = 0
    for _ in range(100):
        process = CohortProcess.start(margin=0.0)
        for _ in range(60):
            y = (rng.random(200) < 0.3).astype(np.float64)
            new, old = np.full(200, 0.3), np.full(200, 0.3)
            new[:100], old[100:] = 0.35, 0.35
            process = process.update(pair(new, old, y))
            if process.judge(alpha=0.1).verdict is Verdict.HARMFUL:
                harmful += 1
                break

    assert harmful <= 100 * 0.1 + 3.3 * math.sqrt(9)


def test_the_state_survives_the_journal() -> None:
    """Written as JSON and read again, it goes on the same."""
    windows = cohort(4, noise=0.3, windows=10)
    process = CohortProcess.start(margin=0.02)
    for window in windows[:-1]:
        process = process.update(window)
    again = CohortProcess.model_validate_json(process.model_dump_json())

    assert again.update(windows[-1]) == process.update(windows[-1])


def test_cohorts_of_different_length_are_refused() -> None:
    """The same rows, or no comparison."""
    with pytest.raises(Invalid, match="label"):
        pair(np.array([0.5]), np.array([0.5, 0.5]), np.array([1.0, 0.0]))


def counted(seed: int, *, worse: float, level: float, windows: int = 12) -> list[float]:
    """Log evidence for harm after each window, rows counted one by one; days shake all rows."""
    rng = np.random.default_rng([seed, 4])
    process, found = CohortProcess.start(margin=0.02), []
    for _ in range(windows):
        logit = rng.normal(-0.9, 1.4, size=240)
        y = (rng.random(240) < logistic(logit + 0.7 * rng.normal())).astype(np.float64)
        challenger = logistic(logit + level + worse * rng.normal(size=240))
        process = process.count(challenger, logistic(logit), y)
        found.append(process.log_e_harm)
    return found


@pytest.mark.parametrize(("worse", "level"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.0, -0.3)])
def test_bets_on_rows_do_not_take_a_shaken_day_for_a_worse_model(
    worse: float, level: float
) -> None:
    """Differences within the margin, on days that move all rows by 0.7 in log odds."""
    alarms = sum(max(counted(s, worse=worse, level=level)) >= math.log(20) for s in range(60))

    assert alarms <= 3


def test_bets_on_rows_prove_a_bad_model_within_two_windows() -> None:
    """Where bets on windows take weeks."""
    for seed in range(20):
        assert counted(seed, worse=2.0, level=0.0)[1] >= math.log(20)


def test_a_window_short_of_labels_is_not_bet_on_row_by_row() -> None:
    """The labels that did arrive may be the early ones."""
    y = np.where(np.arange(100) < 50, 1.0, np.nan)
    process = CohortProcess.start().count(np.full(100, 0.1), np.full(100, 0.9), y)

    assert process.row_harm.rows == 0
    assert process.log_e_harm == process.harm.log_e
