"""Event time cut into windows: which rows of a log lie inside."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from agents.windows import between

START = datetime(2021, 3, 1)  # noqa: DTZ001 - event time is naive, as in the prediction log


def rows_of(hours: list[int]) -> pd.DataFrame:
    times = np.array([START + timedelta(hours=h) for h in hours], dtype="datetime64[us]")
    return pd.DataFrame({"event_time": times, "hour": hours})


@pytest.mark.parametrize("hours", [[0, 1, 1, 2, 3, 4], [4, 1, 0, 3, 1, 2], [], [9], [1, 1]])
def test_a_window_holds_its_start_and_not_its_end(hours: list[int]) -> None:
    """In whatever order the rows come; their order and index stay."""
    found = between(rows_of(hours), START + timedelta(hours=1), START + timedelta(hours=3))

    assert found["hour"].tolist() == [h for h in hours if 1 <= h < 3]
    assert found.index.tolist() == [i for i, h in enumerate(hours) if 1 <= h < 3]


def test_an_empty_log_without_types_has_no_rows_inside() -> None:
    """A log that was never written to knows no types yet."""
    found = between(pd.DataFrame({"event_time": []}), START, START + timedelta(hours=1))

    assert not len(found)
