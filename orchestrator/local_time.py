"""When a local time of day is, in a zone whose clocks are put forward and back.

A local time that does not exist (clocks go forward over it) is the moment of the change; one that
exists twice (clocks go back) is its first or its last occurrence, as the caller needs it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


def instant(local: datetime, zone: ZoneInfo, *, last: bool) -> datetime:
    """``local`` (naive) as UTC; ``last`` chooses among two occurrences."""
    before, after = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    first, second = before.astimezone(UTC), after.astimezone(UTC)
    if second < first:  # it does not exist: read with the offset after, it lies before the change
        return _change_between(second, first, zone)
    return second if last else first


def _change_between(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The one change of offset in low < t <= high, to the second."""
    old = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
