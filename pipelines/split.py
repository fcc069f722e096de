"""The time-ordered split: fit on the past, search on the recent past, judge on the newest rows.

Random splits would let a model see its own future. The hold-out is the newest stretch of event time
(``spec.training.holdout``); before it, the newest fifth of the rows validates the search.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tools.errors import Invalid
from tools.managed_model import ManagedModelSpec
from tools.time_features import parse_times
from tools.values import Value

if TYPE_CHECKING:
    import pandas as pd

VALIDATION_SHARE = 0.2
MIN_ROWS = 50
"""In each part; below it no figure means anything."""


class TimeSplit(Value):
    """Where the parts begin; every part is ordered by time."""

    validation_start: datetime
    holdout_start: datetime

    def masks(self, times: pd.Series[Any]) -> tuple[Any, Any, Any]:
        """Boolean masks of the training, validation and hold-out rows."""
        held = times >= self.holdout_start
        validation = (times >= self.validation_start) & ~held
        return ~held & ~validation, validation, held


def split_by_time(frame: pd.DataFrame, spec: ManagedModelSpec) -> TimeSplit:
    """The split of a frame. Raises Invalid when a part is too small or has one class only."""
    column = spec.schema_.time_column
    times = parse_times(frame[column], field=column)
    holdout_start = times.max() - spec.training.holdout
    development = times[times < holdout_start].sort_values()
    if development.empty:
        span = times.max() - times.min()
        raise Invalid(
            f"all rows lie within the hold-out of {spec.training.holdout}: the data spans {span}; "
            "shorten training.holdout or use a longer history"
        )
    position = int(len(development) * (1 - VALIDATION_SHARE))
    validation_start = development.iloc[min(position, len(development) - 1)]
    split = TimeSplit(
        validation_start=validation_start.to_pydatetime(),
        holdout_start=holdout_start.to_pydatetime(),
    )
    _check(split, times, frame[spec.label.name])
    return split


def _check(split: TimeSplit, times: pd.Series[Any], labels: pd.Series[Any]) -> None:
    names = ("training", "validation", "hold-out")
    for name, mask in zip(names, split.masks(times), strict=True):
        part = labels[mask]
        if len(part) < MIN_ROWS:
            raise Invalid(f"the {name} part has {len(part)} rows, at least {MIN_ROWS} are needed")
        if part.nunique() < 2:
            raise Invalid(f"the {name} part has one class only (label {part.iloc[0]:g})")
