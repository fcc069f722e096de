"""How many independent observations stand behind rows that share what they do not show.

Rows of one hour share its weather, its traffic and its news: a thousand of them may say no more
about the weather than one. The *design effect* (Kish 1965) is the number of rows per independent
observation, from a one-way analysis of variance over the clusters. Bands made with rows divided by
it are an approximation, and a conservative one only where clusters themselves are independent.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tools.errors import Invalid
from tools.statistics.profile import NumberProfile, Profile, as_floats

Floats = NDArray[np.float64]
Members = NDArray[np.intp]


def design_effect(values: pd.Series, clusters: pd.Series) -> float:
    """Rows per independent observation, at least 1. Missing values count as the lowest value.

    Computed on ranks, so that neither scale nor outliers matter. One cluster tells nothing about
    the differences between clusters: all of its rows count as one observation.
    """
    if len(values) != len(clusters):
        raise Invalid(f"{len(values)} values but {len(clusters)} clusters", field="clusters")
    return _effect(values, _members(clusters))


def _members(clusters: pd.Series) -> Members:
    """A number per row, the same in one cluster."""
    _, member = np.unique(clusters.to_numpy(), return_inverse=True)
    return member


def _effect(values: pd.Series, member: Members) -> float:
    if len(values) < 2:
        return 1.0
    ranks = _ranks(as_floats(values))
    sizes = np.bincount(member).astype(float)
    n, groups = len(ranks), len(sizes)
    if groups == n:
        return 1.0
    if groups == 1:
        return float(n)
    sums = np.bincount(member, weights=ranks)
    between = float((sums**2 / sizes).sum() - ranks.sum() ** 2 / n)
    within = float((ranks**2).sum() - (sums**2 / sizes).sum())
    if between + within <= 0:
        return 1.0
    mean_between, mean_within = between / (groups - 1), within / (n - groups)
    typical = (n - float((sizes**2).sum()) / n) / (groups - 1)
    shared = (mean_between - mean_within) / (mean_between + (typical - 1) * mean_within)
    # Large clusters weigh more: Kish's factor takes the row-weighted mean size.
    weighted = float((sizes**2).sum()) / n
    return max(1.0, min(weighted, 1.0 + (weighted - 1.0) * min(1.0, shared)))


def _ranks(floats: Floats) -> Floats:
    """From 1, equal values at their mean rank.

    Missing values are the lowest: whether one is missing may be shared like a value.
    """
    filled = np.where(np.isnan(floats), -np.inf, floats)
    _, place, counts = np.unique(filled, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2.0)[place])


def with_design_effects(
    profile: Profile, frame: pd.DataFrame, clusters: pd.Series, *, score: str | None = None
) -> Profile:
    """The profile with the design effect of each of its number columns, and of the score."""

    member = _members(clusters)

    def told(name: str, column: NumberProfile) -> NumberProfile:
        effect = round(_effect(frame[name], member), 4)
        return column.model_copy(update={"design_effect": effect})

    return profile.model_copy(
        update={
            "numbers": {name: told(name, column) for name, column in profile.numbers.items()},
            "score": told(score, profile.score) if score and profile.score else profile.score,
        }
    )
