"""Running totals over time: what was used up since a moment, without adding it all up again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from datetime import datetime

AMOUNTS = ("retrains", "changes", "minutes", "money")


class Tally:
    """Amounts by time; times that go back count as the newest seen."""

    def __init__(self) -> None:
        self._times: list[datetime] = []
        self._totals: list[tuple[float, ...]] = [(0.0,) * len(AMOUNTS)]

    def add(self, at: datetime, amounts: Mapping[str, float]) -> None:
        """One step's amounts; those that are left out are 0."""
        newest = self._times[-1] if self._times else at
        self._times.append(max(at, newest))
        last = self._totals[-1]
        self._totals.append(
            tuple(t + amounts.get(name, 0.0) for t, name in zip(last, AMOUNTS, strict=True))
        )

    def since(self, start: datetime) -> dict[str, float]:
        """Totals of everything at or after ``start``."""
        first = self._totals[bisect_left(self._times, start)]
        spent = (now - then for now, then in zip(self._totals[-1], first, strict=True))
        return dict(zip(AMOUNTS, spent, strict=True))

    def counts(self, start: datetime) -> int:
        """How many steps were added at or after ``start``."""
        return len(self._times) - bisect_left(self._times, start)
