"""Performance on matured labels: found when worse, told apart by cause, unknown without labels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tools.errors import Invalid
from tools.statistics.losses import Floats, MaturedWindow, entropy, summarise
from tools.statistics.performance import (
    RECENT_WINDOWS,
    Cause,
    PerformanceProcess,
    SlicedPerformance,
    estimate_without_labels,
)
from tools.statistics.verdict import Verdict


def probabilities(rng: np.random.Generator, rows: int = 400, *, harder: float = 1.0) -> Floats:
    """What a model says; ``harder`` below 1 moves it towards one half."""
    logit = rng.normal(-1.3, 1.0, size=rows) * harder
    return np.asarray(1.0 / (1.0 + np.exp(-logit)), dtype=np.float64)


def shifted(probability: Floats, by: float) -> Floats:
    """Probabilities with other log odds: a world that the model does not know."""
    odds = probability / (1.0 - probability) * math.exp(by)
    return np.asarray(odds / (1.0 + odds), dtype=np.float64)


def labels(rng: np.random.Generator, truth: Floats) -> Floats:
    """0 or 1 with these probabilities."""
    return (rng.random(len(truth)) < truth).astype(np.float64)


def day(
    rng: np.random.Generator, *, wrong: float = 0.0, harder: float = 1.0, labelled: float = 1.0
) -> MaturedWindow:
    """One window of a calibrated model, unless ``wrong`` shifts the truth away from it."""
    p = probabilities(rng, harder=harder)
    y = labels(rng, shifted(p, wrong))
    y[rng.random(len(y)) >= labelled] = math.nan
    return summarise(p, y)


def reference() -> float:
    """Expected loss of the calibrated model in its own world."""
    return float(entropy(probabilities(np.random.default_rng(0), rows=200_000)).mean())


def fresh(tolerance: float = 0.02) -> PerformanceProcess:
    """Before the first window."""
    return PerformanceProcess(reference_loss=reference(), tolerance=tolerance)


def after(process: PerformanceProcess, *windows: MaturedWindow) -> PerformanceProcess:
    """The process with these windows folded in."""
    for window in windows:
        process = process.update(window)
    return process


def test_a_good_model_is_left_alone_and_found_healthy() -> None:
    """200 windows of a calibrated model in its own world: no alarm on any, healthy in the end."""
    rng = np.random.default_rng(1)
    process = fresh(tolerance=0.06)
    for _ in range(200):
        process = process.update(day(rng))
        found = process.judge(alpha=0.05)
        assert Verdict.HARMFUL not in (found.degraded.verdict, found.miscalibrated.verdict)

    assert found.degraded.verdict is Verdict.HEALTHY
    assert found.miscalibrated.verdict is Verdict.HEALTHY
    assert found.cause is Cause.NONE


@pytest.mark.parametrize("good", [0, 300])
def test_a_wrong_model_is_found_within_weeks(good: int) -> None:
    """The world moves away from the model, at once or after 300 good days: model is wrong."""
    rng = np.random.default_rng(2)
    process = after(fresh(), *(day(rng) for _ in range(good)))
    found = process.judge(alpha=0.05)
    for _ in range(40):
        process = process.update(day(rng, wrong=0.7))
        found = process.judge(alpha=0.05)
        if found.miscalibrated.verdict is Verdict.HARMFUL:
            break

    assert found.cause is Cause.MODEL_IS_WRONG
    assert process.windows - good <= (14 if good == 0 else 35)
    assert "own expectation" in found.miscalibrated.reason


def test_harm_that_is_over_is_no_longer_harmful() -> None:
    """A month of proved harm, then a month within the tolerance: the present counts."""
    rng = np.random.default_rng(11)
    worse = after(fresh(tolerance=0.06), *(day(rng, wrong=1.0) for _ in range(RECENT_WINDOWS)))
    recovered = after(worse, *(day(rng) for _ in range(RECENT_WINDOWS)))

    assert worse.judge(alpha=0.05).miscalibrated.verdict is Verdict.HARMFUL
    assert recovered.judge(alpha=0.05).miscalibrated.verdict is Verdict.HEALTHY


def test_a_harder_world_is_not_blamed_on_the_model() -> None:
    """Loss rises as the model itself expects: degraded, and retraining will not help."""
    rng = np.random.default_rng(3)
    process = after(fresh(), *(day(rng) for _ in range(20)))
    process = after(process, *(day(rng, harder=0.3) for _ in range(RECENT_WINDOWS)))
    found = process.judge(alpha=0.05)

    assert found.degraded.verdict is Verdict.HARMFUL
    assert found.miscalibrated.verdict is not Verdict.HARMFUL
    assert found.cause is Cause.WORLD_GOT_HARDER


def test_shared_shocks_inside_windows_raise_no_false_alarms() -> None:
    """Rates that jump from day to day around the model's figure: alpha holds over 120 windows.

    A test that took rows as independent would alarm on the first bad day, every time.
    """
    rng = np.random.default_rng(4)
    p = np.full(400, 0.2)
    alarms = 0
    for _ in range(150):
        process = PerformanceProcess(reference_loss=float(entropy(p)[0]), tolerance=0.0)
        for _ in range(120):
            truth = np.full(400, rng.choice([0.05, 0.35]))
            process = process.update(summarise(p, labels(rng, truth)))
            if process.miscalibrated.log_e >= math.log(10):
                alarms += 1
                break

    assert alarms <= 150 * 0.1 + 3.3 * math.sqrt(150 * 0.09)


def test_too_few_labels_are_unknown_and_bet_nothing() -> None:
    """A broken label feed is neither good nor bad, however the labels that came look."""
    rng = np.random.default_rng(5)
    process = after(fresh(), *(day(rng, wrong=3.0, labelled=0.5) for _ in range(30)))
    found = process.judge(alpha=0.05)

    assert process.degraded.steps == 0
    assert found.degraded.verdict is found.miscalibrated.verdict is Verdict.UNKNOWN
    assert found.cause is Cause.UNKNOWN
    assert "80%" in found.degraded.reason


def test_no_window_and_empty_windows_are_unknown() -> None:
    """Nothing was judged yet."""
    empty = summarise(np.array([]), np.array([]))

    for process in (fresh(), after(fresh(), empty, empty)):
        assert process.judge(alpha=0.05).degraded.verdict is Verdict.UNKNOWN


def test_estimates_cover_what_they_estimate() -> None:
    """The bounds of the recent loss and excess hold the true means, and are of use."""
    rng = np.random.default_rng(6)
    found = after(fresh(), *(day(rng) for _ in range(40))).judge(alpha=0.05)

    assert found.loss is not None
    assert found.excess is not None
    assert found.loss.low <= reference() <= found.loss.high
    assert found.excess.low <= 0.0 <= found.excess.high
    assert found.loss.high - found.loss.low < 0.15


def test_the_state_survives_the_journal() -> None:
    """Written as JSON and read again: the same state, the same answers, at a bounded size."""
    rng = np.random.default_rng(7)
    process = after(fresh(), *(day(rng) for _ in range(100)))
    again = PerformanceProcess.model_validate_json(process.model_dump_json())
    window = day(rng)

    assert again.update(window) == process.update(window)
    assert again.judge(alpha=0.05) == process.judge(alpha=0.05)
    assert len(process.model_dump_json()) < 10_000


def test_order_of_rows_does_not_matter() -> None:
    """A window is a set of rows."""
    rng = np.random.default_rng(8)
    p = probabilities(rng)
    y = labels(rng, p)
    order = rng.permutation(len(p))

    first, second = summarise(p, y), summarise(p[order], y[order])
    assert first.loss == pytest.approx(second.loss)
    assert first.least_excess == pytest.approx(second.least_excess)


def test_slices_share_one_budget() -> None:
    """A slice that goes wrong is found while the whole looks well; thresholds are split."""
    rng = np.random.default_rng(9)
    start = SlicedPerformance(overall=fresh(), slices={"AA": fresh(), "UA": fresh()})
    process = start
    for _ in range(40):
        process = process.update(day(rng), {"AA": day(rng, wrong=1.2), "UA": day(rng)})
    found = process.judge(alpha=0.05)

    assert found["AA"].miscalibrated.verdict is Verdict.HARMFUL
    assert found["UA"].miscalibrated.verdict is not Verdict.HARMFUL
    thresholds = {name: one.miscalibrated.figures["log_threshold"] for name, one in found.items()}
    assert sum(math.exp(-threshold) for threshold in thresholds.values()) <= 0.05 + 1e-5
    with pytest.raises(Invalid, match="slices"):
        start.update(day(rng), {"DL": day(rng)})


def test_the_estimate_without_labels_is_corrected_by_labels() -> None:
    """Expected loss is the entropy; recent labels add the excess that they showed."""
    rng = np.random.default_rng(10)
    p = probabilities(rng)
    wrong = after(fresh(), *(day(rng, wrong=0.7) for _ in range(10)))
    before, corrected = estimate_without_labels(p), estimate_without_labels(p, wrong)

    assert before.corrected is None
    assert before.expected == pytest.approx(float(entropy(p).mean()))
    assert corrected.corrected is not None
    truth = shifted(p, 0.7)
    expected = -(truth * np.log(p) + (1.0 - truth) * np.log(1.0 - p))
    assert corrected.corrected == pytest.approx(float(expected.mean()), abs=0.02)


@pytest.mark.parametrize(
    ("probability", "label", "field"),
    [
        ([0.5, 1.5], [0.0, 1.0], "probability"),
        ([0.5, math.nan], [0.0, 1.0], "probability"),
        ([0.5, 0.5], [0.0, 2.0], "label"),
        ([0.5, 0.5], [0.0], "label"),
    ],
)
def test_wrong_columns_are_refused_by_name(
    probability: list[float], label: list[float], field: str
) -> None:
    """No number is guessed."""
    with pytest.raises(Invalid, match=field):
        summarise(np.array(probability), np.array(label))


def test_certainty_that_is_wrong_costs_a_finite_loss() -> None:
    """Probability 1 for what does not happen: a mistake, not infinity."""
    window = summarise(np.array([1.0, 0.0]), np.array([0.0, 1.0]))

    assert window.loss == pytest.approx(2 * -math.log(1e-3))
