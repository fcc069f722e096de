"""Compares with the matching part of the reference when the reference covers a season.

A reference that spans the season's whole cycle (a year for months, weeks for weekdays) holds what
"normal for the time" looks like; then December is compared with December. One that does not covers
no season, and comparing with a part of it would hide that the model never saw this time of year.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from functools import reduce

import pandas as pd
from pydantic import Field

from tools.errors import Invalid
from tools.statistics.profile import Profile, current_profile, merge
from tools.values import Value


class Season(StrEnum):
    """A cycle in event time."""

    MONTH = "month"
    WEEKDAY = "weekday"
    HOUR = "hour"


_PARTS = {Season.MONTH: 12, Season.WEEKDAY: 7, Season.HOUR: 24}


class SeasonalReference(Value):
    """A reference and its parts by season, all in the same bins."""

    season: Season
    whole: Profile
    parts: dict[int, Profile]
    min_rows: int = Field(default=1000, ge=1)
    """A part with fewer rows says too little about its season."""

    @property
    def covers_the_cycle(self) -> bool:
        """Whether every part of the cycle is in the reference."""
        enough = [part for part in self.parts.values() if part.rows >= self.min_rows]
        return len(enough) == _PARTS[self.season]

    def matching(self, times: pd.Series) -> tuple[Profile, str]:
        """The reference to compare rows of these event times with, and the name of the part.

        The whole reference (and no name) when it does not cover the cycle. A window over several
        parts is compared with them together, in the proportions of the reference.
        """
        if not self.covers_the_cycle or not len(times):
            return self.whole, ""
        present = sorted(Counter(_part(times, self.season).tolist()))
        name = f"{self.season.value} {', '.join(map(str, present))}"
        return reduce(merge, (self.parts[p] for p in present)), name[:100]


def seasonal_reference(
    frame: pd.DataFrame, whole: Profile, times: pd.Series, season: Season
) -> SeasonalReference:
    """Profile the reference's rows by season into the bins of ``whole``."""
    if len(frame) != len(times):
        raise Invalid(f"{len(frame)} rows but {len(times)} event times", field="times")
    part = _part(times, season).to_numpy()
    return SeasonalReference(
        season=season,
        whole=whole,
        parts={
            int(key): current_profile(frame[part == key], whole)
            for key in sorted(set(part.tolist()))
        },
    )


def _part(times: pd.Series, season: Season) -> pd.Series:
    parts = {Season.MONTH: "month", Season.WEEKDAY: "weekday", Season.HOUR: "hour"}
    return pd.Series(getattr(times.dt, parts[season]), dtype=int)
