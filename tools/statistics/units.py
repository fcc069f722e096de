"""Finds numbers whose unit changed upstream: a jump that vanishes when a conversion is inverted.

Measured values sit on few marks (whole degrees, knots, the distances of known routes). After a
change of unit the new values miss the marks of trusted data while their inverses hit them. Marks
are a *grid* (offset and step, found by the greatest common divisor) or, without one, the *support*:
the values seen before. The chance of k hits among n distinct values is binomial; SUPPORT_ALPHA is
split over every moment and conversion tried. Seasons and fronts move values along their marks, and
no conversion explains them.

Where values have no marks, a *level* test asks whether all quantiles moved by more than their
spread and inverting the conversion takes the movement away. For columns that belong to no feed the
*shape* is asked too (``unit_shape.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from tools.statistics.conversions import Conversion, Floats, conversions
from tools.statistics.marks import Marks, decimals, marks
from tools.statistics.quantile_jump import LEVEL_ROWS, QuantileJump
from tools.statistics.readings import Readings
from tools.statistics.unit_shape import explained_by_unit
from tools.values import Value

SUPPORT_ALPHA = 1e-6
"""False alarms per column and window, over all conversions and moments tried."""
LEVEL_SPREADS = 3.0
"""Movement, in spreads of the trusted values, below which no level test is made."""
MARKED_SPREADS = 8.0
"""The same for values that have marks, which are the better judges: only an absurd movement."""
MAX_CHANCE = 0.25
"""Marks so dense that more unrelated values than this would hit them decide nothing."""
_MOMENTS = 16
"""Most moments of a window at which a change of unit is tried: every hour or two of a day."""


class UnitChange(Value):
    """A column that arrives in another unit than it used to."""

    column: str
    conversion: Conversion
    since: datetime
    test: Literal["grid", "support", "level", "shape"]
    matched: int
    """Distinct new values whose inverse hits the marks of trusted data, of ``distinct``."""
    distinct: int
    p_value: float | None
    """Chance of as many hits without a change; None for the tests of level and shape."""


def find_unit_change(
    column: str,
    unit: str,
    *,
    trusted: pd.DataFrame | None,
    current: pd.DataFrame,
    time: str,
    key: str | None = None,
) -> UnitChange | None:
    """The most certain change of unit of ``column`` in ``current``, or None.

    ``trusted`` holds rows from before, in the right unit. Without it only a change inside the
    window can be seen. ``key`` names the series whose last value a frozen feed goes on repeating.
    """
    candidates = conversions(unit)
    before = Readings.of(trusted, column, time, key)
    now = Readings.of(current, column, time, key)
    if not len(now):
        return None
    past = marks(before.values) if len(before) else ()
    found = _by_marks(column, candidates, before, now, past) or _by_level(
        column, candidates, before, now, past
    )
    return found if found or key is not None else _by_shape(column, candidates, before, now)


def _by_shape(
    column: str, candidates: tuple[Conversion, ...], before: Readings, now: Readings
) -> UnitChange | None:
    conversion = explained_by_unit(candidates, before, now)
    if conversion is None:
        return None
    return UnitChange(
        column=column,
        conversion=conversion,
        since=now.start,
        test="shape",
        matched=0,
        distinct=len(np.unique(now.values)),
        p_value=None,
    )


def _by_marks(
    column: str,
    candidates: tuple[Conversion, ...],
    before: Readings,
    now: Readings,
    past: tuple[Marks, ...],
) -> UnitChange | None:
    moments = now.moments(_MOMENTS)
    budget = SUPPORT_ALPHA / (2 * len(moments) * len(candidates))
    best: UnitChange | None = None
    for moment in _unsettled(moments, now, past):
        later = now.since(moment)
        known = before + now.until(moment)
        if not len(known):
            continue
        distinct = np.unique(later.values)
        places = decimals(distinct)
        for trusted in marks(known.values):
            seen = trusted.hit(distinct, _exact(distinct))
            if _still_hits(distinct, seen):
                continue
            new = _Arrived(later, distinct, seen, places)
            for conversion in candidates:
                found = _hits(column, conversion, trusted, known, new)
                if found and (found.p_value or 0.0) <= budget and _is_better(found, best):
                    best = found
    return best


def _unsettled(
    moments: list[np.datetime64], now: Readings, past: tuple[Marks, ...]
) -> list[np.datetime64]:
    """The moments since which values do not simply move along the marks of the trusted past.

    Where the window's values leave the past's grid as it is, whatever part of the window is added
    to the past: the grid stays and the support only grows. Values that hit these marks hit those
    too.
    """
    if not past or past[0].kind != "grid":
        return moments
    distinct, member = np.unique(now.values, return_inverse=True)
    seen = [each.hit(distinct, _exact(distinct)) for each in past]
    if not seen[0].all():
        return moments
    last = np.empty(len(distinct), dtype=now.times.dtype)
    last[member] = now.times  # in the order of time: the last one stays
    counts = (last >= np.array(moments)[:, None]) & (distinct != 0)
    total = counts.sum(axis=1)
    settled = np.all([3 * (counts & each).sum(axis=1) > total for each in seen], axis=0)
    return [moment for moment, is_settled in zip(moments, settled, strict=True) if not is_settled]


def _is_better(found: UnitChange, best: UnitChange | None) -> bool:
    return best is None or (found.p_value or 0.0) < (best.p_value or 0.0)


@dataclass(frozen=True)
class _Arrived:
    """What came since a moment: the same for every conversion that is tried on it."""

    readings: Readings
    distinct: Floats
    seen: NDArray[np.bool_]
    """Which distinct values sit on the trusted marks as they are."""
    places: int
    """Decimals that the distinct values show."""


def _hits(
    column: str, conversion: Conversion, trusted: Marks, known: Readings, new: _Arrived
) -> UnitChange | None:
    is_moved = np.abs(conversion.undo(new.distinct) - new.distinct) > 1e-8 + 1e-5 * np.abs(
        new.distinct
    )
    values, seen, places = new.distinct[is_moved], new.seen[is_moved], new.places
    if not len(values):
        return None  # fixed points such as 0 inches of rain say nothing
    old = conversion.undo(values)
    if 3 * int(seen.sum()) > len(values) or not trusted.is_plausible(float(np.median(old))):
        return None
    if len(values) < len(new.distinct):
        places = decimals(values)
    p_value, matched = 1.0, 0
    for tolerance in (_exact(old), _rounding(old, places, conversion)):
        chance = trusted.chance(tolerance)
        hit = trusted.hit(old, tolerance) & ~seen
        k = int(hit.sum())
        enough = k >= trusted.enough * int((~seen).sum())
        if chance > MAX_CHANCE or not enough or not _is_backed(conversion, known, new, tolerance):
            continue
        p = float(special.bdtrc(k - 1, len(values), chance))
        if p < p_value:
            p_value, matched = p, k
    return UnitChange(
        column=column,
        conversion=conversion,
        since=new.readings.start,
        test=trusted.kind,
        matched=matched,
        distinct=len(values),
        p_value=p_value,
    )


def _is_backed(conversion: Conversion, known: Readings, new: _Arrived, tolerance: Floats) -> bool:
    """With one or two distinct values, every series must go on exactly where it stopped."""
    if len(new.distinct) > 2:
        return True
    last, first = known.last(), new.readings.first()
    shared = [series for series in first if series in last]
    old = conversion.undo(np.array([first[s] for s in shared]))
    gap = np.abs(old - np.array([last[s] for s in shared]))
    return bool(shared) and bool((gap <= tolerance.max()).all())


def _exact(values: Floats) -> Floats:
    return np.maximum(np.abs(values) * 1e-7, 1e-12)


def _rounding(old: Floats, places: int, conversion: Conversion) -> Floats:
    """Half a unit of the last of the ``places`` decimals that new values show, in the old unit."""
    half = 0.5 * 10.0**-places / abs(conversion.scale)
    return np.maximum(_exact(old), half * 1.001)


def _by_level(
    column: str,
    candidates: tuple[Conversion, ...],
    before: Readings,
    now: Readings,
    past: tuple[Marks, ...],
) -> UnitChange | None:
    if len(before) < LEVEL_ROWS:
        return None
    grid = past[0]
    few = grid.kind == "support" and 2 < len(grid.support) < LEVEL_ROWS
    distinct = np.unique(now.values)
    is_moved_along = grid.kind == "grid" and _still_hits(
        distinct, grid.hit(distinct, _exact(distinct))
    )
    jumps: dict[bool, QuantileJump] = {}
    for conversion in candidates:
        if not conversion.is_slip and (few or is_moved_along):
            continue  # too few values to know how far they move, or they moved along their marks
        is_marked = not conversion.is_slip and grid.kind == "grid"
        spreads = MARKED_SPREADS if is_marked else LEVEL_SPREADS
        scaled = _orders if conversion.is_slip else np.asarray
        if conversion.is_slip not in jumps:
            jumps[conversion.is_slip] = QuantileJump.of(scaled(before.values), scaled(now.values))
        jump = jumps[conversion.is_slip]
        if jump.is_wider(spreads) and jump.is_undone(scaled(conversion.undo(now.values))):
            return UnitChange(
                column=column,
                conversion=conversion,
                since=now.start,
                test="level",
                matched=0,
                distinct=len(distinct),
                p_value=None,
            )
    return None


def _still_hits(distinct: Floats, seen: NDArray[np.bool_]) -> bool:
    """Values that stay on their marks moved along them: weather, not units.

    Zero is left out: it is the same in most units.
    """
    counts = distinct != 0
    return 3 * int(seen[counts].sum()) > int(counts.sum())


def _orders(values: Floats) -> Floats:
    return np.asarray(np.log(values[values > 0]))
