"""A history as it is replayed: inputs, labels, and from when on each label is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tools.errors import Invalid

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


class Task(StrEnum):
    """What is predicted. The first two are one to the code; people tell them apart."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"

    @property
    def has_classes(self) -> bool:
        """Whether the label is one of a few values."""
        return self is not Task.REGRESSION


EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - event time is naive, as in the prediction log
"""Where event time begins when the rows have none: then a row is a minute."""


WINDOWS = 800
SMALLEST_WINDOW, LARGEST_WINDOW = 20, 1000


@dataclass(frozen=True)
class Recording:
    """Rows in the order in which they happened; every array has one entry per row."""

    name: str
    task: Task
    inputs: Floats
    """One column per feature; categories as numbers, missing as NaN."""
    features: tuple[str, ...]
    is_category: tuple[bool, ...]
    labels: Floats
    """Index into ``classes``, or the number itself."""
    classes: tuple[str, ...]
    known_from: Indices
    """The label of row i may be used once this many rows have arrived; never falls."""
    start: int
    """Rows that are there before anything is predicted."""
    moments: NDArray[np.datetime64] | None = None
    notes: tuple[str, ...] = ()
    """What was inferred, repaired or left out, in words."""
    label: str = ""
    time_column: str = ""
    delay: str = ""
    skipped: dict[str, str] = field(default_factory=dict)
    """Columns that are no features, and why."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.labels)

    @property
    def window(self) -> int:
        """Rows per window: about ``WINDOWS`` of them, each a witness of its own."""
        wanted = round((self.rows - self.start) / WINDOWS)
        return min(max(wanted, SMALLEST_WINDOW), LARGEST_WINDOW)

    def known(self, arrived: int) -> int:
        """How many labels, from the first, may be used once ``arrived`` rows are there."""
        return int(np.searchsorted(self.known_from, arrived, side="right"))

    def moment(self, row: int) -> datetime:
        """Event time of a row."""
        row = min(row, self.rows - 1)
        if self.moments is None:
            return EPOCH + timedelta(minutes=row)
        return datetime.fromisoformat(str(self.moments[row].astype("datetime64[us]")))


def known_after_rows(rows: int, delay: int) -> Indices:
    """Labels that come ``delay`` rows after their own row."""
    if delay < 0:
        raise Invalid(f"expected 0 rows or more, got {delay}", field="--label-delay-rows")
    return np.arange(rows, dtype=np.intp) + 1 + delay


def known_after_time(moments: NDArray[np.datetime64], delay: timedelta) -> Indices:
    """Labels that come a while after their own row; ``moments`` never fall."""
    due = moments + np.timedelta64(round(delay.total_seconds() * 1e6), "us")
    arrived = np.searchsorted(moments, due, side="left") + 1
    own = np.arange(len(moments)) + 1
    return np.maximum(arrived, own).astype(np.intp)
