"""Finds a changed unit where values have no marks: the whole distribution moved, its shape did not.

Weights that were sent in pounds are not heavier parcels: divided by 2.2046 they have the very
distribution that they had before. So three things are asked. More than a quarter of the rows must
have moved past some value (a lower confidence bound says so); inverting the conversion must leave
nothing of that (a Kolmogorov-Smirnov test does not tell the samples apart); and no other factor may
explain it better by more than chance would. Rows of one hour that hang together count as fewer.

What it errs with: values that did not change are never flagged, beyond ``SHIFT_ALPHA``; values that
changed in place, spread or mixture keep another shape and are not either. A genuine change by
exactly a factor is taken for a unit where that factor lies within the test's resolution of a listed
conversion: some hundredths for a few hundred rows (``tests/unit/test_unit_shape.py`` measures it).
Only for columns of the caller's own records: a feed's values follow each other, and the weather of
one day is often another day's, scaled.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from tools.statistics.clusters import design_effect
from tools.statistics.conversions import Conversion, Floats
from tools.statistics.readings import Readings

SHIFT_ALPHA = 1e-6
"""Chance that rows that did not move count as moved, per column and window."""
MOVED = 0.25
"""Kolmogorov distance from which a movement is looked into: a quarter of the rows past a value."""
SAME_ALPHA = 1e-3
"""Chance that a true change of unit is missed in one window because luck bends its shape."""
LEAST_ROWS = 60


def explained_by_unit(
    candidates: tuple[Conversion, ...], before: Readings, now: Readings
) -> Conversion | None:
    """The conversion that explains the whole movement of a column, or None."""
    if min(len(before), len(now)) < LEAST_ROWS:
        return None
    trusted = np.sort(before.values)
    moved = _distance(trusted, now.values)
    if moved <= MOVED:
        return None  # no band makes it more: how far rows hang together need not be asked
    n, m = (_independent(part) for part in (before, now))
    if min(n, m) < LEAST_ROWS:
        return None
    band = math.sqrt(math.log(4 / SHIFT_ALPHA) / 2) * (1 / math.sqrt(n) + 1 / math.sqrt(m))
    if moved - band <= MOVED:
        return None
    left = {c: _distance(trusted, c.undo(now.values)) for c in candidates}
    best = min(left, key=lambda c: left[c])
    same = math.sqrt(-math.log(SAME_ALPHA / 2) / 2) * math.sqrt(1 / n + 1 / m)
    return best if left[best] <= same and _is_shifted_alone(trusted, now.values, best) else None


def _is_shifted_alone(trusted: Floats, values: Floats, conversion: Conversion) -> bool:
    """Adding a constant must not explain it as well: then nothing speaks for the unit."""
    added = values - (np.median(values) - np.median(trusted))
    return _distance(trusted, added) > 1.5 * _distance(trusted, conversion.undo(values))


def _distance(ordered: Floats, values: Floats) -> float:
    """Kolmogorov distance of two samples, the first one sorted."""
    other = np.sort(values)
    points = np.concatenate([ordered, other])
    first = np.searchsorted(ordered, points, side="right") / len(ordered)
    second = np.searchsorted(other, points, side="right") / len(other)
    return float(np.abs(first - second).max())


def _independent(readings: Readings) -> float:
    if len(readings) < LEAST_ROWS:
        return 0.0
    hours = pd.Series(readings.times.astype("datetime64[h]"))
    return len(readings) / design_effect(pd.Series(readings.values), hours)
