"""Rows that share an hour count for less; bands widen by it, and independent rows lose nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tools.errors import Invalid
from tools.statistics.clusters import design_effect
from tools.statistics.drift import Shifted, compare
from tools.statistics.label_rate import LabelRate, judge_label_rate
from tools.statistics.losses import MaturedWindow
from tools.statistics.profile import (
    NumberProfile,
    Profile,
    as_floats,
    count_numbers,
    merge,
    reference_profile,
)
from tools.statistics.score_shift import judge_score_shift
from tools.statistics.verdict import Verdict

HOURS, PER_HOUR = 60, 40


def clusters() -> pd.Series:
    return pd.Series(np.repeat(np.arange(HOURS), PER_HOUR))


def test_independent_rows_are_as_many_observations_as_they_are() -> None:
    rng = np.random.default_rng(0)
    effect = design_effect(pd.Series(rng.normal(size=HOURS * PER_HOUR)), clusters())

    assert 1.0 <= effect < 1.5


def test_rows_that_share_one_value_an_hour_are_one_observation_an_hour() -> None:
    rng = np.random.default_rng(0)
    shared = pd.Series(np.repeat(rng.normal(size=HOURS), PER_HOUR))

    assert design_effect(shared, clusters()) == pytest.approx(PER_HOUR, rel=0.01)


def test_half_shared_rows_lie_between() -> None:
    """Intra-cluster correlation 1/2: Kish's 1 + (m - 1) / 2."""
    rng = np.random.default_rng(0)
    shared = np.repeat(rng.normal(size=HOURS), PER_HOUR)
    effect = design_effect(pd.Series(shared + rng.normal(size=len(shared))), clusters())

    assert 0.6 * 20.5 < effect < 1.4 * 20.5


@pytest.mark.parametrize(
    ("values", "hours", "expected"),
    [
        ([1.0], [0], 1.0),
        ([3.0] * 6, [0, 0, 0, 1, 1, 1], 1.0),
        ([np.nan] * 6, [0, 0, 0, 1, 1, 1], 1.0),
        ([1.0, 2, 3, 4, 5, 6], [0] * 6, 6.0),
        ([1.0, 2, 3], [0, 1, 2], 1.0),
    ],
    ids=["one-row", "constant", "all-missing", "one-cluster", "a-cluster-each"],
)
def test_edges(values: list[float], hours: list[int], expected: float) -> None:
    """One cluster says nothing about the differences between clusters: one observation."""
    assert design_effect(pd.Series(values), pd.Series(hours)) == expected


def test_values_and_clusters_must_be_of_one_length() -> None:
    with pytest.raises(Invalid, match="2 values but 1 clusters"):
        design_effect(pd.Series([1.0, 2.0]), pd.Series([0]))


def test_a_cold_spell_is_no_shift_when_its_hours_are_the_observations() -> None:
    """The same counts: shifted if rows were independent, unknown where only hours are."""
    rng = np.random.default_rng(3)
    before = pd.DataFrame({"temp": np.repeat(rng.normal(size=300), PER_HOUR)})
    now = pd.DataFrame({"temp": np.repeat(rng.normal(size=12), PER_HOUR)})
    reference = reference_profile(before, numbers=("temp",))
    current = reference_profile(now, numbers=("temp",))
    current = current.model_copy(
        update={"numbers": {"temp": _like(reference.numbers["temp"], now["temp"])}}
    )

    def with_effect(profile: Profile, effect: float) -> Profile:
        column = profile.numbers["temp"].model_copy(update={"design_effect": effect})
        return profile.model_copy(update={"numbers": {"temp": column}})

    as_rows = compare(reference, current)
    as_hours = compare(with_effect(reference, 40.0), with_effect(current, 40.0))

    assert as_rows.features["temp"].verdict is Shifted.YES
    assert as_hours.features["temp"].verdict is Shifted.UNKNOWN
    assert as_hours.features["temp"].distance == as_rows.features["temp"].distance


def _like(column: NumberProfile, values: pd.Series) -> NumberProfile:
    return count_numbers(as_floats(values), np.array(column.edges), column.pivot)


def test_merged_profiles_keep_their_observations() -> None:
    rng = np.random.default_rng(0)
    whole = reference_profile(pd.DataFrame({"x": rng.normal(size=600)}), numbers=("x",))
    column = whole.numbers["x"].model_copy(update={"design_effect": 3.0})
    part = whole.model_copy(update={"numbers": {"x": column}})
    both = merge(part, whole).numbers["x"]

    assert both.observations == pytest.approx(200 + 600)


def window(labelled: int, positives: int) -> MaturedWindow:
    return MaturedWindow(matured=labelled, labelled=labelled, positives=positives)


REFERENCE = LabelRate(rows=20_000, rate=0.2)


def test_a_rate_that_rose_is_found_and_one_that_stayed_is_not() -> None:
    stayed = [window(2000, 400 + wobble) for wobble in (5, -9, 3, 8, -4, 0, 2, -6)]
    rose = [*stayed, *[window(2000, 700)] * 4]

    assert judge_label_rate(rose, REFERENCE, tolerance=0.05, alpha=0.001).verdict is (
        Verdict.HARMFUL
    )
    assert judge_label_rate(stayed, REFERENCE, tolerance=0.05, alpha=0.001).verdict is (
        Verdict.HEALTHY
    )


def test_days_that_differ_wildly_prove_nothing_about_the_rate() -> None:
    """The same mean as a clear rise, from days between none and nearly all."""
    wild = [window(2000, 20 if day % 2 else 1380) for day in range(16)]
    calm = [window(2000, 700)] * 16

    assert judge_label_rate(calm, REFERENCE, tolerance=0.05, alpha=0.001).verdict is (
        Verdict.HARMFUL
    )
    assert judge_label_rate(wild, REFERENCE, tolerance=0.05, alpha=0.001).verdict is (
        Verdict.UNKNOWN
    )


def test_false_alarms_of_the_label_rate_over_many_looks() -> None:
    """Days shake the rate (sd 0.03); asked after each of 60 windows at alpha / 60."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(60):
        windows = []
        shaken = np.clip(rng.normal(0.2, 0.03, 14), 0.01, 0.99)
        reference = LabelRate(rows=14_000, rate=float(rng.binomial(1000, shaken).mean() / 1000))
        for _ in range(60):
            rate = float(np.clip(rng.normal(0.2, 0.03), 0.01, 0.99))
            windows.append(window(1000, int(rng.binomial(1000, rate))))
            found = judge_label_rate(windows[-28:], reference, tolerance=0.05, alpha=0.05 / 60)
            if found.verdict is Verdict.HARMFUL:
                alarms += 1
                break

    assert alarms <= 3


def scored(rng: np.random.Generator, mean: float, rows: int = 400) -> pd.DataFrame:
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows) * 3, unit="min")
    scores = np.clip(rng.normal(mean, 0.1, rows), 0, 1)
    return pd.DataFrame({"probability": scores, "event_time": times})


def test_scores_on_the_other_side_are_harm_and_few_rows_prove_nothing() -> None:
    rng = np.random.default_rng(0)
    usual, other, near = scored(rng, 0.2), scored(rng, 0.8), scored(rng, 0.25)

    def asked(canary: pd.DataFrame) -> Verdict:
        return judge_score_shift(usual, canary, allowed=0.5, alpha=0.05).verdict

    assert asked(other) is Verdict.HARMFUL
    assert asked(near) is Verdict.HEALTHY
    assert asked(other.head(5)) is Verdict.UNKNOWN
