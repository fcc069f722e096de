"""Event time cut into windows on a fixed grid, so that every look cuts it the same way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - event time is naive, as in the prediction log


def floor(moment: datetime, size: timedelta) -> datetime:
    """The grid line at or before ``moment``."""
    return _EPOCH + (moment - _EPOCH) // size * size


def complete_windows(
    after: datetime, until: datetime, size: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    """Every whole window (start, end) from the grid line of ``after`` that ends by ``until``."""
    start = floor(after, size)
    while start + size <= until:
        yield start, start + size
        start += size


def parse(moment: str) -> datetime:
    """Event time from its ISO 8601 text."""
    return datetime.fromisoformat(moment)


def between(rows: pd.DataFrame, start: datetime, end: datetime) -> pd.DataFrame:
    """The rows of a log frame with start <= event_time < end."""
    times = rows["event_time"].to_numpy()
    since, until = np.datetime64(start), np.datetime64(end)
    if bool((times[1:] >= times[:-1]).all()):  # as the log gives them: a slice copies nothing
        return rows.iloc[slice(*np.searchsorted(times, np.array([since, until])))]
    return rows[(times >= since) & (times < until)]
