"""What a backtest rests on: bounded losses of every task, blends, and what a retrain is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.statistics.blend import blended, level, normalised, weights
from tools.statistics.losses import summarise
from tools.statistics.task_losses import pair_task, row_losses, scale_of, summarise_task
from tools.statistics.worth import Staleness, Trial

seeds = st.integers(0, 2**32 - 1)


def _scores(seed: int, rows: int, classes: int) -> np.ndarray:
    return normalised(np.random.default_rng(seed).normal(size=(rows, classes)))


@given(seeds)
def test_two_classes_lose_what_production_says_they_lose(seed: int) -> None:
    """The general loss is the log loss that the evidence of production counts."""
    scores = _scores(seed, 30, 2)
    labels = np.random.default_rng(seed).integers(0, 2, 30).astype(float)
    ours = summarise_task(scale_of(labels, 2), scores, labels, matured=30, noise=0.0, bias=0.0)
    theirs = summarise(np.exp(scores[:, 1]), labels)

    assert ours.loss == pytest.approx(theirs.loss)
    assert ours.expected == pytest.approx(theirs.expected)
    assert ours.least_excess == pytest.approx(theirs.least_excess)


@given(seeds, st.sampled_from([0, 2, 5]))
def test_no_label_gives_a_loss_outside_what_was_promised(seed: int, classes: int) -> None:
    """Bets are sized by the least and the most that labels could give: those must be bounds."""
    rng = np.random.default_rng(seed)
    if classes:
        labels = rng.integers(0, classes, 20).astype(float)
        one, two = _scores(seed, 20, classes), _scores(seed + 1, 20, classes)
    else:
        labels = 5.0 * rng.normal(size=20)
        one, two = 3.0 * rng.normal(size=20), 3.0 * rng.normal(size=20)
    scale = scale_of(rng.permutation(labels), classes)
    pair = pair_task(scale, one, two, labels, matured=20)
    window = summarise_task(scale, one, labels, matured=20, noise=0.3, bias=0.1)

    assert pair.least - 1e-9 <= pair.difference <= pair.most + 1e-9
    assert window.loss - window.expected >= window.least_excess - 1e-9


def test_guessing_is_the_unit_of_loss() -> None:
    """Who knows only how often each class occurs loses exactly the unit."""
    labels = np.array([0.0] * 30 + [1.0] * 70)
    scale = scale_of(labels, 2)
    guess = np.tile(np.log([0.3, 0.7]), (100, 1))

    assert row_losses(scale, guess, labels).mean() == pytest.approx(scale.guessing)


def test_the_say_goes_to_whoever_lost_less() -> None:
    """Shares add up to one, fall with the loss, and equal losses have equal shares."""
    scale = scale_of(np.array([0.0, 1.0]), 2)
    shares = weights(np.array([4.0, 4.0, 5.0]), scale)

    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] == shares[1] > 10 * shares[2]


def test_a_moved_base_rate_is_corrected_and_few_labels_are_not_believed() -> None:
    """Predictions of one half meet labels that are mostly 1; five labels move nothing."""
    scale = scale_of(np.array([0.0, 1.0]), 2)
    half = np.log(np.full((200, 2), 0.5))
    labels = np.array([1.0] * 160 + [0.0] * 40)
    corrected = normalised(half + level(scale, half, labels))

    assert np.exp(corrected[0, 1]) == pytest.approx(0.8, abs=0.03)
    assert not level(scale, half[:5], labels[:5]).any()


def test_a_level_that_is_right_but_for_chance_is_left_alone() -> None:
    """108 of 200 where 100 were expected is no news; correcting it would only add noise."""
    scale = scale_of(np.array([0.0, 1.0]), 2)
    half = np.log(np.full((200, 2), 0.5))
    numbers = scale_of(np.array([-1.0, 1.0]), 0)
    off = np.tile([1.0, -1.0], 100) + 0.05

    assert not level(scale, half, np.array([1.0] * 108 + [0.0] * 92)).any()
    assert not level(numbers, np.zeros(200), off).any()
    assert level(numbers, np.zeros(200), off + 1.0)[0] == pytest.approx(1.0, abs=0.05)


def test_numbers_are_blended_by_their_mean() -> None:
    """Two versions with equal say answer half-way."""
    scale = scale_of(np.array([0.0, 4.0]), 0)
    both = np.array([[1.0, 2.0], [3.0, 2.0]])

    assert blended(scale, both, np.array([0.5, 0.5])).tolist() == [2.0, 2.0]


def _trial(gains: list[float], fresher: list[float]) -> Trial:
    trial = Trial(fresher_by=1000)
    for gain, alone in zip(gains, fresher, strict=True):
        trial = trial.after(gain, fresher=alone)
    return trial


def test_a_schedule_needs_proof_that_newer_data_beat_older() -> None:
    """One more opinion always helps a little: that alone is no reason to retrain for ever."""
    gains = [0.02, 0.03, 0.02, 0.03]
    helped = Staleness().after(_trial(gains, [0.01, -0.01, 0.01, -0.01]))
    stale = Staleness().after(_trial(gains, [0.05, 0.06, 0.05, 0.06]))

    assert helped.rate > 0
    assert math.isinf(helped.best_interval(5.0, tolerance=0.05))
    assert stale.best_interval(5.0, tolerance=0.05) == pytest.approx(math.sqrt(10.0 / stale.rate))


def test_a_retrain_that_costs_four_times_as_much_comes_half_as_often() -> None:
    """The square-root law of the best interval."""
    stale = Staleness().after(_trial([0.02, 0.03, 0.02, 0.03], [0.05, 0.06, 0.05, 0.06]))

    assert stale.best_interval(20.0, tolerance=0.0) == pytest.approx(
        2 * stale.best_interval(5.0, tolerance=0.0)
    )


def test_few_windows_prove_nothing() -> None:
    """Bounds need windows; without them nobody is promoted or withdrawn."""
    assert _trial([0.5, 0.5], [0.5, 0.5]).bounds(0.05) is None
    assert math.isinf(Trial(fresher_by=10).error)
