"""Drift reports: bands that hold, laws, and inputs that break careless code."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from tools.errors import Invalid
from tools.statistics import bands, distances
from tools.statistics.drift import DriftReport, Shifted, compare
from tools.statistics.profile import current_profile, reference_profile
from tools.statistics.verdict import Verdict

SIZES = st.integers(1, 10**7)
SHARES = st.integers(0, 1000).map(lambda k: k / 1000)


def _normals(
    rng: np.random.Generator, rows: int, columns: int = 1, mean: float = 0.0
) -> pd.DataFrame:
    values = rng.normal(size=(rows, columns))
    values[:, 0] += mean
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(columns)])


def _report(before: pd.DataFrame, now: pd.DataFrame, **rates: float) -> DriftReport:
    numbers = tuple(n for n in before if pd.api.types.is_numeric_dtype(before[n]))
    categories = tuple(n for n in before if n not in numbers)
    reference = reference_profile(before, numbers=numbers, categories=categories)
    return compare(reference, current_profile(now, reference), **rates)


@settings(deadline=None)
@given(SIZES, SIZES, st.floats(1e-9, 0.3), st.floats(1.01, 2), st.integers(1, 300))
def test_bands_nest(n: int, m: int, delta: float, factor: float, cells: int) -> None:
    """More rows or more permitted error never widen a band."""
    wider_delta = min(0.49, delta * factor)
    for width in (bands.dkw_width, lambda n, m, d: bands.points_width(n, m, d, cells)):
        assert width(n, m, wider_delta) <= width(n, m, delta)
        assert width(n + 1, m, delta) <= width(n, m, delta)
        assert width(n, m + 1, delta) <= width(n, m, delta)
    assert bands.subsets_width(n, m, delta, cells) <= bands.subsets_width(n, m, delta, cells + 1)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.02), st.floats(0.02, 0.3))
def test_a_laxer_alpha_or_tolerance_never_changes_yes_to_no(
    seed: int, alpha: float, tolerance: float
) -> None:
    """Bands nest in the report, too: lower ends rise with alpha, verdicts fall with tolerance."""
    rng = np.random.default_rng(seed)
    before, now = _normals(rng, 800, 3), _normals(rng, 500, 3, mean=rng.uniform(0, 1))
    strict = _report(before, now, alpha=alpha, tolerance=tolerance)
    lax = _report(before, now, alpha=alpha * 5, tolerance=tolerance)
    tolerant = _report(before, now, alpha=alpha, tolerance=tolerance + 0.1)

    assert all(lax.features[n].lower >= f.lower for n, f in strict.features.items())
    assert all(lax.features[n].upper <= f.upper for n, f in strict.features.items())
    assert set(tolerant.shifted) <= set(strict.shifted) <= set(lax.shifted)


@settings(deadline=None, max_examples=20)
@given(st.permutations(["x0", "x1", "x2", "x3"]))
def test_the_order_of_columns_does_not_matter(order: list[str]) -> None:
    """Alpha is split over columns evenly, not in turn."""
    rng = np.random.default_rng(5)
    before, now = _normals(rng, 600, 4), _normals(rng, 600, 4, mean=0.6)

    assert _report(before[order], now[order]).features == _report(before, now).features


def test_no_drift_is_not_called_drift() -> None:
    """400 reports on 8 columns at 200 rows: at most the stated 5 %, in fact none."""
    rng = np.random.default_rng(11)
    alarms = sum(
        bool(_report(_normals(rng, 200, 8), _normals(rng, 200, 8), alpha=0.05, tolerance=0).shifted)
        for _ in range(400)
    )

    assert alarms <= 20


@pytest.mark.parametrize("cells", [2, 5, 40])
def test_the_bound_of_categories_covers_what_happens(cells: int) -> None:
    """The true total variation of two known laws lies above the lower end, always but 5 %."""
    rng = np.random.default_rng(cells)
    p, q = rng.dirichlet(np.ones(cells)), rng.dirichlet(np.ones(cells))
    truth, missed = 0.5 * np.abs(p - q).sum(), 0
    for _ in range(500):
        first, second = rng.multinomial(300, p), rng.multinomial(500, q)
        width = bands.total_variation_width(first, second, 0.05)
        missed += distances.total_variation(first, second) - width > truth

    assert missed <= 25


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), SHARES, SHARES)
def test_the_noise_estimate_of_categories_is_not_too_small(
    n: int, m: int, p: float, q: float
) -> None:
    """E sqrt((X+1)/n^2 + (Y+1)/m^2) >= sqrt(Var X/n^2 + Var Y/m^2), the lemma that the band needs.

    The root is concave in X and Y; its expectation is taken over five-point laws with the mean and
    variance of the binomial's and wider tails, which makes it no larger.
    """
    xs, px = _five_points(n, p)
    ys, py = _five_points(m, q)
    root = np.sqrt((xs[:, None] + 1) / n**2 + (ys[None, :] + 1) / m**2)
    expected = float((px[:, None] * py[None, :] * root).sum())

    assert expected >= np.sqrt(p * (1 - p) / n + q * (1 - q) / m) * (1 - 1e-9)


def _five_points(n: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    """The binomial itself where it is small, thinned to where its mass is otherwise."""
    centre, spread = n * p, 8 * np.sqrt(n * p * (1 - p)) + 8
    values = np.arange(max(0, int(centre - spread)), min(n, int(centre + spread)) + 1)
    return values, stats.binom.pmf(values, n, p)


def test_figures_match_scipy() -> None:
    """The textbook's figures against their oracles."""
    rng = np.random.default_rng(3)
    before, now = _normals(rng, 900), _normals(rng, 700, mean=0.4)
    before["c"], now["c"] = rng.choice(list("abc"), 900), rng.choice(list("abbc"), 700)
    report = _report(before, now)
    number, category = report.features["x0"], report.features["c"]
    table = [[(frame["c"] == c).sum() for c in "abc"] for frame in (before, now)]
    ks = stats.ks_2samp(before["x0"], now["x0"], method="asymp")
    shares = [np.array(row) / sum(row) for row in table]

    assert number.distance == pytest.approx(ks.statistic, abs=0.01)
    assert number.distance <= ks.statistic + 1e-12
    assert number.ks_p_value == pytest.approx(
        stats.kstwobign.sf(number.distance * np.sqrt(900 * 700 / 1600)), rel=1e-6
    )
    assert category.chi_square_p_value == pytest.approx(
        stats.chi2_contingency(table, correction=False).pvalue, rel=1e-9
    )
    assert category.jensen_shannon == pytest.approx(jensenshannon(*shares, base=2), rel=1e-9)
    assert category.distance == pytest.approx(0.5 * np.abs(shares[0] - shares[1]).sum())
    assert number.mean_shift == pytest.approx(
        (now["x0"].mean() - before["x0"].mean()) / before["x0"].std(ddof=0), rel=1e-6
    )


def test_a_negligible_shift_needs_no_action_at_any_size() -> None:
    """0.05 standard deviations at 100,000 rows: seen at tolerance 0, tolerated by default."""
    rng = np.random.default_rng(4)
    before, now = _normals(rng, 100_000), _normals(rng, 100_000, mean=0.05)

    assert _report(before, now).features["x0"].verdict is Shifted.NO
    assert _report(before, now, tolerance=0).features["x0"].verdict is Shifted.YES


def test_missing_values_are_a_shift() -> None:
    """A column that stops arriving has shifted, whatever its remaining values look like."""
    rng = np.random.default_rng(6)
    before, now = _normals(rng, 2000), _normals(rng, 2000)
    before["c"] = now["c"] = rng.choice(["a", "b"], 2000)
    now.loc[now.index % 2 == 0, ["x0", "c"]] = None
    report = _report(before, now)

    assert set(report.shifted) == {"x0", "c"}
    assert report.features["x0"].null_shift == pytest.approx(0.5)


def test_unseen_categories_are_counted() -> None:
    """And they are a shift."""
    before = pd.DataFrame({"c": ["a", "b"] * 1000})
    report = _report(before, pd.DataFrame({"c": ["a", "b", "new", "new"] * 500}))

    assert report.features["c"].unseen_rate == 0.5
    assert report.shifted == ("c",)


@pytest.mark.parametrize(
    "values",
    [[0.0] * 300, [np.nan] * 300, [np.inf] * 300, [5e-324] * 300, [1e308, -1e308] * 150, [1.0]],
    ids=["constant", "missing", "infinite", "tiny", "huge", "single"],
)
def test_odd_columns_neither_crash_nor_alarm(values: list[float]) -> None:
    """Compared with themselves they have not moved."""
    frame = pd.DataFrame({"x0": values})
    feature = _report(frame, frame).features["x0"]

    assert feature.verdict is not Shifted.YES
    assert feature.distance == 0


def test_too_few_rows_are_unknown_not_healthy() -> None:
    """Ten rows prove nothing, in either direction."""
    rng = np.random.default_rng(8)
    report = _report(_normals(rng, 1000), _normals(rng, 10, mean=0.2))

    assert report.features["x0"].verdict is Shifted.UNKNOWN
    assert report.inputs_judgement().verdict is Verdict.UNKNOWN


def test_judgements_name_what_moved() -> None:
    """The reason holds the figures and the tolerance."""
    rng = np.random.default_rng(9)
    judgement = _report(_normals(rng, 3000), _normals(rng, 3000, mean=1.0)).inputs_judgement()

    assert judgement.verdict is Verdict.HARMFUL
    assert "x0 moved by 0.3" in judgement.reason
    assert "tolerance 0.05" in judgement.reason


@pytest.mark.parametrize(("alpha", "tolerance"), [(0, 0.1), (0.5, 0.1), (0.01, 1), (0.01, -0.1)])
def test_rates_outside_their_range_are_refused(alpha: float, tolerance: float) -> None:
    """The message names the rate."""
    frame = pd.DataFrame({"x0": [1.0, 2.0]})

    with pytest.raises(Invalid, match=r"alpha|tolerance"):
        _report(frame, frame, alpha=alpha, tolerance=tolerance)
