"""A changed unit without marks: the whole distribution moved, and its shape did not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tools.statistics.conversions import conversions
from tools.statistics.losses import Floats
from tools.statistics.readings import Readings
from tools.statistics.unit_shape import explained_by_unit
from tools.statistics.units import find_unit_change

KG_IN_LB = 1 / 0.45359237


def window(values: Floats, day: int) -> pd.DataFrame:
    """Rows spread over a day's hours."""
    start = pd.Timestamp("2021-03-01") + pd.Timedelta(days=day)
    moments = start + pd.to_timedelta(np.linspace(0, 24 * 3600 - 1, len(values)), unit="s")
    return pd.DataFrame({"weight": values, "at": moments})


def found(values: Floats, *, seed: int = 0) -> str:
    """The conversion that is named after a trusted past of usual weights; empty: none."""
    rng = np.random.default_rng([seed, 1])
    past, now = (
        Readings.of(window(part, day), "weight", "at", None)
        for day, part in enumerate((rng.gamma(7.0, 1.15, 900), values))
    )
    conversion = explained_by_unit(conversions("kg"), past, now)
    return conversion.name if conversion else ""


def usual(seed: int) -> Floats:
    """A day's weights in kilograms."""
    return np.asarray(np.random.default_rng([seed, 2]).gamma(7.0, 1.15, 300))


def test_pounds_are_recognised_without_any_marks() -> None:
    """In nearly every window of a few hundred rows."""
    names = [found(usual(seed) * KG_IN_LB, seed=seed) for seed in range(40)]

    assert names.count("kg -> lb") >= 39


def test_the_shape_is_asked_of_the_callers_own_columns_only() -> None:
    """A feed's values follow each other: the weather of one day is another day's, scaled."""
    past, now = window(usual(1), 0), window(usual(2) * KG_IN_LB, 1)
    keyed = {"trusted": past.assign(k="a"), "current": now.assign(k="a")}
    own = find_unit_change("weight", "kg", trusted=past, current=now, time="at")

    assert own is not None
    assert own.test == "shape"
    assert find_unit_change("weight", "kg", time="at", key="k", **keyed) is None


def test_unchanged_weights_are_never_called_another_unit() -> None:
    """Whatever the draw."""
    assert {found(usual(seed), seed=seed) for seed in range(40)} == {""}


@pytest.mark.parametrize("moved", ["added", "other factor", "spread", "mixture"])
def test_a_world_that_changed_otherwise_keeps_its_unit(moved: str) -> None:
    """The mean is where pounds would put it, or close; the shape is not."""
    for seed in range(20):
        values = usual(seed)
        changed = {
            "added": values + (KG_IN_LB - 1) * 8.05,
            "other factor": values * 1.8,
            "spread": 17.7 + 1.2 * (values - 8.05),
            "mixture": np.where(np.arange(300) % 2 == 0, values, values * 3.4),
        }[moved]
        assert found(changed, seed=seed) == "", (moved, seed)


def test_genuine_factors_are_mistaken_only_close_to_a_listed_one() -> None:
    """The documented weakness: of factors from 1.2 to 4, those within some hundredths of 2.2046."""
    factors = np.exp(np.linspace(np.log(1.2), np.log(4.0), 49))
    mistaken = [f for f in factors if found(usual(7) * f, seed=7)]

    assert mistaken
    assert max(abs(np.log(f / KG_IN_LB)) for f in mistaken) < 0.15
