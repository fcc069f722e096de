"""Compares with the matching part of the reference when the reference covers a season.

A reference that spans the season's whole cycle (a year for months, weeks for weekdays) holds what
"normal for the time" looks like; then December is compared with December. One that does not covers
no season, and comparing with a part of it would hide that the model never saw this time of year.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from functools import reduce
from typing import Any

import pandas as pd
from pydantic import Field

from tools.errors import Invalid
from tools.statistics.profile import NumberProfile, Profile, current_profile, merge
from tools.values import Value


class Season(StrEnum):
    """A cycle in event time."""

    MONTH = "month"
    WEEKDAY = "weekday"
    HOUR = "hour"


_SHARED = ("edges", "pivot", "design_effect")
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
    frame: pd.DataFrame,
    whole: Profile,
    times: pd.Series,
    season: Season,
    *,
    score: str | None = None,
) -> SeasonalReference:
    """Profile the reference's rows by season into the bins of ``whole``.

    Design effects are those of the whole: a part is too small to tell.
    """
    if len(frame) != len(times):
        raise Invalid(f"{len(frame)} rows but {len(times)} event times", field="times")
    part = _part(times, season).to_numpy()
    return SeasonalReference(
        season=season,
        whole=whole,
        parts={
            int(key): _with_effects_of(
                whole, current_profile(frame[part == key], whole, score=score)
            )
            for key in sorted(set(part.tolist()))
        },
    )


def pack(seasonal: SeasonalReference) -> dict[str, Any]:
    """The parts as JSON without what they share with the whole, which is stored beside them."""
    parts = {}
    for key, part in seasonal.parts.items():
        content = part.model_dump(mode="json", exclude={"label"})
        for column in (*content["numbers"].values(), content["score"] or {}):
            for name in _SHARED:
                column.pop(name, None)
        parts[str(key)] = content
    return {"season": seasonal.season.value, "parts": parts}


def unpack(packed: Mapping[str, Any], whole: Profile) -> SeasonalReference:
    """What ``pack`` made, beside the whole that it was made with."""
    parts = {}
    for key, part in packed["parts"].items():
        numbers = {
            name: column | _shared(whole.numbers[name]) for name, column in part["numbers"].items()
        }
        score = part.get("score")
        if score is not None and whole.score is not None:
            score = score | _shared(whole.score)
        parts[int(key)] = Profile.model_validate({**part, "numbers": numbers, "score": score})
    return SeasonalReference(season=Season(packed["season"]), whole=whole, parts=parts)


def _shared(column: NumberProfile) -> dict[str, Any]:
    return {name: getattr(column, name) for name in _SHARED}


def _with_effects_of(whole: Profile, part: Profile) -> Profile:
    def told(column: NumberProfile, like: NumberProfile) -> NumberProfile:
        return column.model_copy(update={"design_effect": like.design_effect})

    numbers = {name: told(column, whole.numbers[name]) for name, column in part.numbers.items()}
    score = part.score
    if score is not None and whole.score is not None:
        score = told(score, whole.score)
    return part.model_copy(update={"numbers": numbers, "score": score})


def _part(times: pd.Series, season: Season) -> pd.Series:
    parts = {Season.MONTH: "month", Season.WEEKDAY: "weekday", Season.HOUR: "hour"}
    return pd.Series(getattr(times.dt, parts[season]), dtype=int)
