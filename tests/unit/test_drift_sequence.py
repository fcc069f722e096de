"""Drift over windows, seasons and jointly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tools.statistics.drift import Shifted, compare
from tools.statistics.joint import joint_shift
from tools.statistics.joint_shift import JointShift
from tools.statistics.profile import Profile, current_profile, reference_profile
from tools.statistics.seasons import Season, seasonal_reference
from tools.statistics.sequential_drift import SPANS, SequentialDrift, alarms


def _reference(rng: np.random.Generator) -> Profile:
    return reference_profile(pd.DataFrame({"x": rng.normal(size=20_000)}), numbers=("x",))


def _window(rng: np.random.Generator, reference: Profile, mean: float) -> Profile:
    return current_profile(pd.DataFrame({"x": rng.normal(mean, 1, size=200)}), reference)


def test_long_spans_see_what_no_window_shows() -> None:
    """A shift of 0.3 standard deviations at 200 rows a window is found by merged windows."""
    rng = np.random.default_rng(0)
    reference = _reference(rng)
    state, by_span = SequentialDrift(windows_per_month=30, tolerance=0.05), {1: 0, 4: 0, 16: 0}
    for _ in range(16):
        state, reports = state.after(_window(rng, reference, 0.3), reference)
        for span, report in zip([s for s in SPANS if state.seen % s == 0], reports, strict=True):
            by_span[span] += bool(alarms((report,)))

    assert by_span[1] == 0
    assert by_span[16] == 1


def test_no_alarm_without_drift() -> None:
    """300 windows (ten months) without drift at a rate of 5 % a month."""
    rng = np.random.default_rng(1)
    reference = _reference(rng)
    state, found = SequentialDrift(windows_per_month=30, tolerance=0.0), 0
    for _ in range(300):
        state, reports = state.after(_window(rng, reference, 0.0), reference)
        found += bool(alarms(reports))

    assert found == 0


@pytest.mark.parametrize("windows", [1, 7, 30, 720])
def test_a_months_comparisons_spend_a_months_alpha(windows: int) -> None:
    """Over any month: as many comparisons as any run of so many windows can hold."""
    state = SequentialDrift(windows_per_month=windows, tolerance=0.1, alpha_per_month=0.05)
    spent = 0.0
    for span in SPANS:
        most = max(sum((start + i) % span == 0 for i in range(windows)) for start in range(span))
        spent += state.alpha_of(span) * most

    assert spent <= 0.05 + 1e-12


def test_the_state_survives_json() -> None:
    """It is kept between ticks of the controller."""
    rng = np.random.default_rng(2)
    reference = _reference(rng)
    state = SequentialDrift(windows_per_month=30, tolerance=0.1)
    for _ in range(3):
        state, _ = state.after(_window(rng, reference, 0.0), reference)

    assert SequentialDrift.model_validate_json(state.model_dump_json()) == state


def _year(rng: np.random.Generator, days: int) -> pd.DataFrame:
    times = pd.date_range("2023-01-01", periods=days * 24, freq="h")
    warmth = 10 - 12 * np.cos(2 * np.pi * times.dayofyear / 365)
    return pd.DataFrame({"time": times, "temp": warmth + rng.normal(0, 4, len(times))})


def test_a_season_that_the_reference_holds_is_not_drift() -> None:
    """July against the whole year has shifted, July against July has not."""
    rng = np.random.default_rng(3)
    year = _year(rng, 365 * 3)
    whole = reference_profile(year, numbers=("temp",))
    seasonal = seasonal_reference(year, whole, year["time"], Season.MONTH)
    july = _year(rng, 365).query("time.dt.month == 7")
    matching, name = seasonal.matching(july["time"])
    current = current_profile(july, whole)

    assert name == "month 7"
    assert compare(whole, current).shifted == ("temp",)
    assert compare(matching, current, tolerance=0.1).shifted == ()


def test_half_a_year_covers_no_season() -> None:
    """Then the whole reference is the only honest comparison."""
    rng = np.random.default_rng(4)
    half = _year(rng, 180)
    whole = reference_profile(half, numbers=("temp",))
    seasonal = seasonal_reference(half, whole, half["time"], Season.MONTH)

    assert seasonal.matching(half["time"]) == (whole, "")


def _joint(
    before: pd.DataFrame, now: pd.DataFrame, seed: int = 0, **kinds: tuple[str, ...]
) -> JointShift:
    numbers = kinds.get("numbers", tuple(before.columns))
    categories = kinds.get("categories", ())
    return joint_shift(
        before, now, numbers=numbers, categories=categories, alpha=0.01, tolerance=0.05, seed=seed
    )


def test_a_joint_shift_is_seen_and_explained() -> None:
    """Two columns that come to depend on each other: no column alone has moved."""
    rng = np.random.default_rng(5)
    names = ["a", "b", "c", "d"]
    before = pd.DataFrame(rng.normal(size=(1500, 4)), columns=names)
    now = pd.DataFrame(rng.normal(size=(1500, 4)), columns=names)
    now["b"] = 0.9 * now["a"] + np.sqrt(1 - 0.81) * now["b"]
    found = _joint(before, now)

    assert found.verdict is Shifted.YES
    assert set(list(found.explained_by)[:2]) == {"a", "b"}
    assert found == _joint(before, now)


def test_without_a_shift_the_joint_test_is_silent() -> None:
    """Missing values, infinities and categories are taken as they come."""
    rng = np.random.default_rng(6)

    def rows() -> pd.DataFrame:
        frame = pd.DataFrame({"a": rng.normal(size=400), "c": rng.choice(["x", "y", None], 400)})
        frame.loc[:5, "a"] = [np.nan, np.inf, -np.inf, 1e308, 5e-324, 0.0]
        return frame

    found = _joint(rows(), rows(), numbers=("a",), categories=("c",))

    assert found.verdict is Shifted.UNKNOWN
    assert found.lower == 0
    assert found.p_value > 0.01


def test_too_few_rows_are_unknown_jointly() -> None:
    """Forty rows against forty cannot be told apart."""
    rng = np.random.default_rng(7)
    before = pd.DataFrame({"a": rng.normal(size=40)})

    assert _joint(before, before + 5).verdict is Shifted.UNKNOWN
