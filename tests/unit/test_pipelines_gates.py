"""Figures, their uncertainty and the gates that rest on them, against oracles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from pipelines.gates import MIN_SLICE_ROWS, HeldOut, judge, worse_by
from pipelines.measures import (
    METRICS,
    baseline,
    calibration_curve,
    calibration_error,
    entropy,
    figure,
    figures,
    roc_curve,
)
from tools.managed_model import Gate

RNG = np.random.default_rng(7)


def draw(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with two models' probabilities: a good one, and it with noise."""
    logit = rng.normal(-0.5, 1.3, count)
    labels = (rng.random(count) < 1 / (1 + np.exp(-logit))).astype(float)
    noisy = logit + rng.normal(0, 0.5, count)
    return labels, 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(-noisy))


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0]), st.booleans()), min_size=4
    ).filter(lambda rows: len({label for _, label in rows}) == 2)
)
def test_figures_agree_with_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    """Also with ties, and with probabilities of exactly 0 and 1."""
    p, y = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    predicted = p >= 0.5
    found = figures(p, y)

    assert found["roc_auc"] == pytest.approx(oracle.roc_auc_score(y, p))
    assert found["brier"] == pytest.approx(oracle.brier_score_loss(y, p))
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(y, predicted))
    assert found["log_loss"] == pytest.approx(
        oracle.log_loss(y, np.clip(p, 1e-7, 1 - 1e-7), labels=[0, 1])
    )
    for name in ("f1", "precision", "recall"):
        score = getattr(oracle, f"{name}_score")
        assert found[name] == pytest.approx(score(y, predicted, zero_division=0))
    false, true, _ = oracle.roc_curve(y, p, drop_intermediate=False)
    assert np.allclose(roc_curve(p, y), (false, true))


@pytest.mark.parametrize("metric", METRICS)
def test_influence_values_give_the_standard_error(metric: str) -> None:
    """Of the paired difference, as the bootstrap finds it."""
    rng = np.random.default_rng(3)
    labels, good, noisy = draw(2000, rng)
    found = worse_by(metric, noisy, good, labels, alpha=0.05)
    sign = 1 if metric in ("log_loss", "brier") else -1
    drawn = []
    for _ in range(300):
        rows = rng.integers(0, len(labels), len(labels))
        ours, theirs = (figure(metric, p[rows], labels[rows]).value for p in (noisy, good))
        drawn.append(sign * (ours - theirs))

    assert found is not None
    assert found.half_width / 1.645 == pytest.approx(np.std(drawn), rel=0.15)
    assert found.mean == pytest.approx(np.mean(drawn), abs=0.2 * np.std(drawn))


def test_a_model_as_good_passes_and_one_beyond_the_margin_does_not() -> None:
    """At most alpha of the challengers that sit exactly on the margin pass."""
    rng = np.random.default_rng(5)
    passed = {"equal": 0, "on the margin": 0}
    for _ in range(400):
        labels, good, _ = draw(400, rng)
        logit = np.log(good / (1 - good))
        one, other = (1 / (1 + np.exp(-logit - rng.normal(0, 0.3, 400))) for _ in range(2))
        # Brier loss raised by exactly the margin in every row.
        margin = 0.02
        for name, shift in (("equal", 0.0), ("on the margin", margin)):
            found = worse_by("brier", one, other, labels, alpha=0.05)
            assert found is not None
            passed[name] += found.upper + shift <= margin

    assert passed["on the margin"] / 400 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert passed["equal"] / 400 > 0.8


def gate(**rules: object) -> Gate:
    """A gate on log loss unless another metric is named."""
    return Gate.model_validate({"metric": "log_loss"} | rules)


def test_absolute_limits_are_judged_on_their_own() -> None:
    """One result each, with its value and limit."""
    labels, good, _ = draw(500, RNG)
    loss = figure("log_loss", good, labels).value
    low, high = judge(
        [gate(minimum=loss + 0.1, maximum=loss + 0.1)], HeldOut(labels, good), alpha=0.05
    )

    assert (low.name, low.passed, low.value) == ("log_loss minimum", False, loss)
    assert (high.name, high.passed, high.limit) == ("log_loss maximum", True, loss + 0.1)


def test_without_a_champion_there_is_nothing_to_compare() -> None:
    """The first model passes the comparison, and the result says why."""
    labels, good, _ = draw(500, RNG)
    (result,) = judge([gate(not_worse_than_champion_by=0.0)], HeldOut(labels, good), alpha=0.05)

    assert result.passed
    assert result.detail == "no champion to compare with"


@pytest.mark.parametrize(
    ("rows", "better", "margin", "passed", "detail"),
    [
        (4000, True, 0.01, True, "worse by -0."),
        (4000, False, 0.01, False, "worse beyond the margin: worse by +0."),
        (60, True, 0.001, False, "underpowered: "),
    ],
)
def test_the_detail_tells_worse_from_underpowered(
    rows: int, better: bool, margin: float, passed: bool, detail: str
) -> None:
    """Too few rows are no evidence against a model, and none for it."""
    rng = np.random.default_rng(11)
    labels, good, noisy = draw(rows, rng)
    pair = (good, noisy) if better else (noisy, good)
    if rows < 100:
        pair = (noisy, 1 / (1 + (1 / good - 1) * np.exp(rng.normal(0, 0.5, rows))))
    (result,) = judge([gate(not_worse_than_champion_by=margin)], HeldOut(labels, *pair), alpha=0.05)

    assert result.passed is passed
    assert result.detail.startswith(detail)
    assert f"on {rows} rows" in result.detail


def test_a_slice_stops_a_release_only_on_proof_of_harm() -> None:
    """A carrier on which the challenger is clearly worse; small slices are not judged."""
    rng = np.random.default_rng(13)
    labels, good, noisy = draw(9000, rng)
    carriers = np.array(["AA"] * 4450 + ["BB"] * 4450 + ["CC"] * 100, dtype=object)
    wild = 1 / (1 + np.exp(-rng.normal(0, 2, 9000)))
    challenger = np.where(carriers == "AA", wild, good)
    rows = HeldOut(labels, challenger, noisy, {"carrier": carriers})
    total, *slices = judge(
        [gate(not_worse_than_champion_by=0.5, slices=["carrier"])], rows, alpha=0.05
    )
    tight = judge([gate(not_worse_than_champion_by=0.1, slices=["carrier"])], rows, alpha=0.05)

    assert total.passed
    assert [each.name for each in slices] == [
        "log_loss not worse than champion where carrier=AA",
        "log_loss not worse than champion where carrier=BB",
    ]
    assert [each.passed for each in tight] == [False, False, True]
    assert MIN_SLICE_ROWS > 100


@pytest.mark.parametrize("metric", METRICS)
def test_identical_models_pass_with_any_margin(metric: str) -> None:
    """Their difference is exactly nothing."""
    labels, good, _ = draw(300, RNG)
    (result,) = judge(
        [gate(metric=metric, not_worse_than_champion_by=0.0)],
        HeldOut(labels, good, good.copy()),
        alpha=0.05,
    )

    assert result.passed
    assert result.value == 0


def test_one_class_only_gives_results_not_errors() -> None:
    """A gate on ROC AUC cannot pass there, and says so."""
    labels = np.zeros(100)
    p = np.full(100, 0.2)
    results = judge(
        [gate(metric="roc_auc", minimum=0.0, not_worse_than_champion_by=0.1)],
        HeldOut(labels, p, p),
        alpha=0.05,
    )

    assert [each.passed for each in results] == [False, False]
    assert "one class only" in results[0].detail
    assert "cannot be estimated" in results[1].detail


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_calibration_adds_up(seed: int) -> None:
    """The curve holds every row once; a constant that is right on average is calibrated."""
    labels, good, _ = draw(200, np.random.default_rng(seed))
    curve = calibration_curve(good, labels)

    assert sum(point["rows"] for point in curve) == 200
    assert 0 <= calibration_error(good, labels) <= 1
    assert baseline(float(labels.mean()), labels)["ece"] == pytest.approx(0, abs=1e-12)


def test_entropy_is_the_loss_that_a_calibrated_model_expects() -> None:
    """And it is largest at one half."""
    labels, good, _ = draw(200_000, np.random.default_rng(17))

    assert entropy(good).mean() == pytest.approx(figure("log_loss", good, labels).value, rel=0.01)
    assert entropy(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, np.log(2), 0], abs=1e-5)
