"""Profiles count everything once, in fixed bins, and add up."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.errors import Invalid
from tools.statistics.profile import (
    Profile,
    current_profile,
    merge,
    quantile_edges,
    reference_profile,
)

NUMBERS = st.lists(
    st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 1.0, -2.5])),
    min_size=1,
    max_size=60,
)


def _frame(values: list[float]) -> pd.DataFrame:
    names = [None if np.isnan(v) else f"c{hash(v) % 7}" for v in values]
    return pd.DataFrame({"x": np.array(values, dtype=float), "c": pd.Series(names, dtype=object)})


@settings(deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS)
def test_merging_profiles_equals_profiling_the_union(
    a: list[float], b: list[float], c: list[float]
) -> None:
    """The law that makes windows, partitions and engines add up."""
    reference = reference_profile(_frame(a), numbers=("x",), categories=("c",))
    both = merge(current_profile(_frame(b), reference), current_profile(_frame(c), reference))
    union = current_profile(pd.concat([_frame(b), _frame(c)]), reference)

    assert both.rows == union.rows == len(b) + len(c)
    assert both.numbers["x"].counts == union.numbers["x"].counts
    assert both.numbers["x"].nulls == union.numbers["x"].nulls
    assert both.numbers["x"].finite == union.numbers["x"].finite
    assert both.categories == union.categories


@settings(deadline=None)
@given(NUMBERS)
def test_every_row_is_counted_once(values: list[float]) -> None:
    """Bins are (a, b]; nothing falls between them, infinities and missing included."""
    profile = reference_profile(_frame(values), numbers=("x",), categories=("c",))
    number, edges = profile.numbers["x"], np.array(profile.numbers["x"].edges)
    known = np.array([v for v in values if not np.isnan(v)])

    assert number.rows == profile.categories["c"].rows == len(values)
    for i, edge in enumerate(edges):
        assert sum(number.counts[: i + 1]) == int((known <= edge).sum())


@settings(deadline=None)
@given(NUMBERS)
def test_a_profile_survives_json(values: list[float]) -> None:
    """It is stored with the model version."""
    profile = reference_profile(_frame(values), numbers=("x",), categories=("c",), score="x")

    assert Profile.model_validate_json(profile.model_dump_json()) == profile


def test_a_wide_profile_stays_small() -> None:
    """A few hundred kilobytes at most for 25 columns, one of them with a category per row."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20_000, 24)), columns=[f"x{i}" for i in range(24)])
    frame["id"] = [f"request-{i:08d}" for i in range(len(frame))]
    profile = reference_profile(frame, numbers=tuple(frame.columns[:24]), categories=("id",))

    assert len(profile.model_dump_json()) < 300_000
    assert profile.categories["id"].other == len(frame) - 256


def test_a_constant_has_a_bin_of_its_own() -> None:
    """Otherwise a constant that moves down would stay in its bin."""
    reference = reference_profile(pd.DataFrame({"x": [7.0] * 50}), numbers=("x",))
    lower = current_profile(pd.DataFrame({"x": [6.9] * 50}), reference)

    assert reference.numbers["x"].counts == (0, 50, 0)
    assert lower.numbers["x"].counts == (50, 0, 0)


def test_moments_match_numpy_far_from_zero() -> None:
    """Sums are taken about a pivot: large offsets do not cost precision."""
    values = np.random.default_rng(1).normal(1e9, 0.5, size=4000)
    profile = reference_profile(pd.DataFrame({"x": values}), numbers=("x",)).numbers["x"]

    assert profile.mean == pytest.approx(values.mean(), abs=1e-6)
    assert profile.deviation == pytest.approx(values.std(), rel=1e-6)


def test_edges_hold_about_equal_mass() -> None:
    """128 bins of a continuous column: none holds twice its share."""
    values = np.random.default_rng(2).lognormal(size=50_000)
    counts = np.histogram(values, np.r_[-np.inf, quantile_edges(values), np.inf])[0]

    assert len(counts) == 128
    assert counts.max() < 2 * len(values) / 128


def test_huge_values_do_not_overflow() -> None:
    """They are counted but left out of the sums."""
    profile = reference_profile(
        pd.DataFrame({"x": [1.0, 2.0, 1e308, -1e308, np.inf]}), numbers=("x",)
    ).numbers["x"]

    assert profile.finite == 2
    assert profile.mean == pytest.approx(1.5)
    assert profile.rows == 5


def test_profiles_of_different_bins_are_refused() -> None:
    """Adding them would be meaningless."""
    one = reference_profile(pd.DataFrame({"x": [1.0, 2.0]}), numbers=("x",))
    other = reference_profile(pd.DataFrame({"x": [5.0, 6.0]}), numbers=("x",))

    with pytest.raises(Invalid, match="x: profiles have different bins"):
        merge(one, other)


def test_a_missing_column_is_named() -> None:
    """So is text where numbers were expected."""
    reference = reference_profile(pd.DataFrame({"x": [1.0, 2.0]}), numbers=("x",))

    with pytest.raises(Invalid, match="no such columns: x"):
        current_profile(pd.DataFrame({"y": [1.0]}), reference)
    with pytest.raises(Invalid, match="not a column of numbers"):
        current_profile(pd.DataFrame({"x": ["a"]}), reference)


def test_the_stored_form_is_plain_json() -> None:
    """No NaN, no infinity: every reader agrees."""
    frame = pd.DataFrame({"x": [np.inf, -np.inf, np.nan, 1.0], "y": [np.nan] * 4})
    profile = reference_profile(frame, numbers=("x", "y"))

    assert json.loads(json.dumps(profile.model_dump(mode="json"), allow_nan=False))
