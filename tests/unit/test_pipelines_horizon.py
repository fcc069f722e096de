"""How far back to learn from, decided by the newest rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.horizon import Losses, Mask, rows_to_learn
from pipelines.measures import row_log_loss
from simulations.law import Floats
from simulations.records import START

ROWS = 4000


def _world(*, changes: bool, seed: int = 0) -> tuple[pd.Series[Any], Floats, Mask]:
    """Rows of 40 days with a rate of labels that turns over on day 36, or does not."""
    rng = np.random.default_rng(seed)
    days = np.sort(rng.uniform(0, 40, ROWS))
    rate = np.where((days >= 36) & changes, 0.8, 0.2)
    times = pd.Series(START + pd.to_timedelta(days, unit="D"))
    return times, (rng.uniform(size=ROWS) < rate).astype(float), days >= 39


def _mean_model(labels: Floats) -> Losses:
    def losses(fitted_on: Mask, judged_on: Mask) -> Floats:
        rate = float(labels[fitted_on].mean())
        return row_log_loss(np.full(int(judged_on.sum()), rate), labels[judged_on])

    return losses


def test_after_a_change_only_what_came_since_is_learned() -> None:
    """Thirty-six days of the old world would teach the wrong rate."""
    times, labels, held = _world(changes=True)
    changed_at = (START + timedelta(days=36)).isoformat()
    rows, found = rows_to_learn(times, held, changed_at, _mean_model(labels))

    assert found["learned_from"] == "since the change"
    assert times[rows].min() >= START + timedelta(days=36)
    assert not (rows & held).any()
    assert found["log_loss_since_the_change"] < found["log_loss_of_everything"]


@pytest.mark.parametrize("seed", range(5))
def test_where_nothing_changed_the_long_history_stays(seed: int) -> None:
    """A date alone decides nothing: the newest rows have to say that the short one is better."""
    times, labels, held = _world(changes=False, seed=seed)
    changed_at = (START + timedelta(days=36)).isoformat()
    rows, found = rows_to_learn(times, held, changed_at, _mean_model(labels))

    assert found["learned_from"] == "everything"
    assert rows.sum() == (~held).sum()


@pytest.mark.parametrize("changed_at", ["", (START + timedelta(days=38.8)).isoformat()])
def test_without_a_date_or_with_too_few_rows_after_it_everything_is_learned(
    changed_at: str,
) -> None:
    """Twenty rows decide nothing either."""
    times, labels, held = _world(changes=True)
    rows, found = rows_to_learn(times, held, changed_at, _mean_model(labels))

    assert found["learned_from"] == "everything"
    assert rows.sum() == (~held).sum()
