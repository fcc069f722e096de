"""The profile of a managed model's rows: its columns and scores, and how far rows hang together.

Rows of one event hour share their weather, their news and their incidents, so every number column
carries its design effect over hours, and the bands of a comparison widen by it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tools.errors import Invalid
from tools.statistics.clusters import with_design_effects
from tools.statistics.profile import Profile, current_profile, reference_profile
from tools.statistics.seasons import Season, SeasonalReference, pack, seasonal_reference, unpack

if TYPE_CHECKING:
    import pandas as pd

    from tools.schema import FeatureSchema

SCORE, LABEL = "__score", "__label"
"""Columns of scored rows, apart from whatever a schema may call its own."""
PROFILE, SEASONS = "profile", "seasons"
"""Keys under which a version's reference keeps what this module makes."""


def reference_of(
    rows: pd.DataFrame, times: pd.Series, schema: FeatureSchema, window: timedelta
) -> dict[str, Any]:
    """What later windows of this length are compared with, as JSON.

    ``rows`` has the schema's columns, SCORE and LABEL; ``times`` are their event times. The parts
    of the season that a window meets are kept where the rows cover all of them.
    """
    profile = reference_profile(
        rows, numbers=schema.numbers, categories=schema.categories, label=LABEL, score=SCORE
    )
    profile = with_design_effects(profile, rows, _hours(times), score=SCORE)
    seasonal = seasonal_reference(rows, profile, times, season_of(window), score=SCORE)
    seasons = {SEASONS: pack(seasonal)} if seasonal.covers_the_cycle else {}
    return {PROFILE: profile.model_dump(mode="json"), **seasons}


def read_reference(reference: dict[str, Any]) -> SeasonalReference | None:
    """The reference of a version; None when it was registered without a profile."""
    if PROFILE not in reference:
        return None
    try:
        whole = Profile.model_validate(reference[PROFILE])
        if SEASONS in reference:
            return unpack(reference[SEASONS], whole)
    except ValidationError as error:
        raise Invalid(
            f"the version's reference profile cannot be read: {error.errors()[0]['msg']}; "
            "register the version again",
            field="reference.profile",
        ) from error
    return SeasonalReference(season=Season.MONTH, whole=whole, parts={})


def window_profile(logged: pd.DataFrame, reference: Profile) -> Profile:
    """Rows of the prediction log counted into the bins of a reference, with design effects."""
    rows = logged.assign(**{SCORE: logged["probability"]})
    score = SCORE if reference.score is not None else None
    profile = current_profile(rows, reference, score=score)
    return with_design_effects(profile, rows, _hours(logged["event_time"]), score=score)


def season_of(window: timedelta) -> Season:
    """The cycle of which a window sees only a part."""
    if window < timedelta(days=1):
        return Season.HOUR
    return Season.WEEKDAY if window < timedelta(days=7) else Season.MONTH


def _hours(times: pd.Series) -> pd.Series:
    hours: pd.Series = times.dt.floor("h")
    return hours
