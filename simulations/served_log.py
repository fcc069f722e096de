"""The prediction log of a generated world: what was answered, beside rows that are known anyway.

The rows of a target exist before they are asked; answering one fills in its version, probability
and masked columns. Reading cuts a slice, so a look costs as much as its window and not its past.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simulations.records import START, Records
from tools.errors import Invalid
from tools.log_parts import require_naive
from tools.prediction_log import LogExtent

if TYPE_CHECKING:
    import pandas as pd

    from simulations.law import Floats


class Answered:
    """One target's rows and what was answered."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.first = records.index(0.0)
        """Rows before it are history and were never asked."""
        self.until = self.first
        """Rows from here on are still to come."""
        size = len(records)
        self.request_id = np.array([f"r{index:07d}" for index in range(size)], dtype=object)
        self.probability = np.full(size, np.nan)
        self.version = np.full(size, "", dtype=object)
        self.masked = np.full(size, None, dtype=object)

    def answer(
        self, rows: slice, version: str, chosen: Floats, probability: Floats, masked: object
    ) -> None:
        """Note what a version answered to the chosen ones of these rows."""
        here = np.flatnonzero(chosen) + rows.start
        self.probability[here] = probability
        self.version[here] = version
        told = np.empty(1, dtype=object)
        told[0] = masked
        self.masked[here] = told


class ServedLog:
    """Implements PredictionLog over the rows of a world's targets."""

    def __init__(self) -> None:
        self.targets: dict[str, Answered] = {}

    def extent(self, target: str) -> LogExtent:
        """See PredictionLog."""
        answered = self.targets.get(target)
        if answered is None or answered.until == answered.first:
            return LogExtent(rows=0, first=None, watermark=None, labels=0)
        table = answered.records.table
        first, last = table.at_s[answered.first], table.at_s[answered.until - 1]
        known = table.known_s[answered.first : answered.until]
        return LogExtent(
            rows=answered.until - answered.first,
            first=_moment(first),
            watermark=_moment(last),
            labels=int(np.isfinite(known).sum()),
        )

    def predictions(
        self,
        target: str,
        *,
        start: datetime,
        end: datetime,
        columns: Sequence[str] | None = None,
        version: str | None = None,
    ) -> pd.DataFrame:
        """See PredictionLog."""
        chosen = self._chosen(target, start, end, version)
        return self._frame(target, chosen, columns, as_of_s=None)

    def cohort(
        self,
        target: str,
        *,
        start: datetime,
        end: datetime,
        as_of: datetime,
        columns: Sequence[str] = (),
        version: str | None = None,
    ) -> pd.DataFrame:
        """See PredictionLog; a feature that is backfilled shows what it was overwritten with."""
        import pandas as pd

        require_naive(as_of=as_of)
        chosen = self._chosen(target, start, end, version)
        as_of_s = _seconds(as_of)
        frame = self._frame(target, chosen, columns, as_of_s=as_of_s)
        answered = self.targets.get(target)
        if answered is None:
            return frame.assign(label=pd.Series(dtype=float), known_at=pd.Series(dtype="M8[us]"))
        table = answered.records.table
        is_known = table.known_s[chosen] <= as_of_s
        is_corrected = table.corrected_s[chosen] <= as_of_s
        label = np.where(is_corrected, table.corrected[chosen], table.label[chosen])
        known_s = np.where(is_corrected, table.corrected_s[chosen], table.known_s[chosen])
        times = _stamps(np.where(is_known, known_s, 0.0))
        times[~is_known] = np.datetime64("NaT")
        return frame.assign(label=np.where(is_known, label, np.nan), known_at=times)

    def _chosen(
        self, target: str, start: datetime, end: datetime, version: str | None
    ) -> NDArray[Any]:
        require_naive(start=start, end=end)
        answered = self.targets.get(target)
        if answered is None:
            return np.arange(0)
        first = max(answered.records.index(_seconds(start)), answered.first)
        last = min(answered.records.index(_seconds(end)), answered.until)
        chosen = np.arange(first, max(first, last))
        return chosen if version is None else chosen[answered.version[chosen] == version]

    def _frame(
        self,
        target: str,
        chosen: NDArray[Any],
        columns: Sequence[str] | None,
        *,
        as_of_s: float | None,
    ) -> pd.DataFrame:
        import pandas as pd

        answered = self.targets.get(target)
        if answered is None:
            wanted = list(dict.fromkeys(columns or ()))
            return pd.DataFrame({name: [] for name in (*_ALWAYS, *wanted)})
        table = answered.records.table
        shown = dict.fromkeys(table.arrived if columns is None else columns)
        unknown = [name for name in shown if name not in table.arrived]
        if unknown:
            known = ", ".join(table.arrived)
            raise Invalid(
                f"the prediction log has no such column; it has {known}", field=unknown[0]
            )
        data = {
            "request_id": answered.request_id[chosen],
            "event_time": _stamps(table.at_s[chosen]),
            "version": answered.version[chosen],
            "probability": answered.probability[chosen],
            "masked": answered.masked[chosen],
        }
        for name in shown:
            values = table.arrived[name][chosen]
            if as_of_s is not None and name in table.backfilled:
                is_known = table.known_s[chosen] <= as_of_s
                values = np.where(is_known, table.backfilled[name][chosen], values)
            data[name] = values
        return pd.DataFrame(data)


_ALWAYS = ("request_id", "event_time", "version", "probability", "masked")


def _seconds(moment: datetime) -> float:
    return (moment - START).total_seconds()


def _moment(at_s: float) -> datetime:
    return START + timedelta(seconds=float(at_s))


def _stamps(at_s: Floats) -> NDArray[Any]:
    start = np.datetime64(START, "us")
    return start + np.round(at_s * 1e6).astype("timedelta64[us]")
