"""Finite values of one column in the order of event time, with the series that they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Readings:
    """Parallel arrays: values, their event times (microseconds) and their series."""

    values: NDArray[np.float64]
    times: NDArray[np.datetime64]
    series: NDArray[np.object_]

    @classmethod
    def of(cls, frame: pd.DataFrame | None, column: str, time: str, key: str | None) -> Readings:
        """Read a column of a frame; no frame or no such column reads as empty."""
        if frame is None or column not in frame.columns or not len(frame):
            empty = np.empty(0)
            return cls(empty, empty.astype("datetime64[us]"), empty.astype(object))
        is_ordered = frame[time].is_monotonic_increasing
        ordered = frame if is_ordered else frame.sort_values(time, kind="stable")
        values = ordered[column].to_numpy(dtype=float, na_value=np.nan)
        series: NDArray[Any] = np.full(len(ordered), "", dtype=object)
        if key is not None:
            series = ordered[key].to_numpy(dtype=object)
        return cls(values, ordered[time].to_numpy("datetime64[us]"), series)._where(
            np.isfinite(values)
        )

    def __len__(self) -> int:
        return len(self.values)

    def __add__(self, other: Readings) -> Readings:
        return Readings(
            np.concatenate([self.values, other.values]),
            np.concatenate([self.times, other.times]),
            np.concatenate([self.series, other.series]),
        )

    @property
    def start(self) -> datetime:
        """Event time of the first value."""
        start: datetime = pd.Timestamp(self.times[0]).to_pydatetime()
        return start

    def until(self, moment: np.datetime64) -> Readings:
        """What came before a moment."""
        return self._where(self.times < moment)

    def since(self, moment: np.datetime64) -> Readings:
        """What came at or after a moment."""
        return self._where(self.times >= moment)

    def first(self) -> dict[object, float]:
        """First value of each series."""
        return dict(zip(self.series[::-1], self.values[::-1].tolist(), strict=True))

    def last(self) -> dict[object, float]:
        """Last value of each series."""
        return dict(zip(self.series, self.values.tolist(), strict=True))

    def moments(self, most: int) -> list[np.datetime64]:
        """Event times at which the unit may have changed: the start, and where values change.

        Thinned evenly to ``most``, for values that change with every row.
        """
        order = np.lexsort((np.arange(len(self)), pd.factorize(self.series)[0]))
        values, series = self.values[order], self.series[order]
        changed = (values[1:] != values[:-1]) & (series[1:] == series[:-1])
        times = np.unique(np.r_[self.times[:1], self.times[order][1:][changed]])
        spread = np.linspace(0, len(times) - 1, min(most, len(times))).round().astype(int)
        return list(times[np.unique(spread)])

    def _where(self, keep: NDArray[np.bool_]) -> Readings:
        return Readings(self.values[keep], self.times[keep], self.series[keep])
