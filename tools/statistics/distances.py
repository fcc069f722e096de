"""Distances between two profiles of one column, the textbook's and those that verdicts rest on.

Rows that miss the value stand before all numbers, and form a category of their own: a feed that
stops delivering is a shift, whatever its remaining values look like.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tools.errors import Invalid
from tools.statistics.profile import CategoryProfile, NumberProfile

Counts = NDArray[np.int64]
PSI_BINS = 10
"""The textbook's deciles; PSI grows with the number of bins."""


def number_counts(profile: NumberProfile) -> Counts:
    """Counts in order: missing, then the bins."""
    return np.array((profile.nulls, *profile.counts), dtype=np.int64)


def category_counts(
    reference: CategoryProfile, current: CategoryProfile, cells: int | None = None
) -> tuple[Counts, Counts]:
    """Counts over the same cells: missing, others, then the reference's most frequent categories.

    ``cells`` limits the categories told apart; the rest joins the others.
    """
    ranked = sorted(reference.counts, key=lambda c: (-reference.counts[c], c))
    kept = ranked[: len(ranked) if cells is None else cells]

    def row(profile: CategoryProfile) -> Counts:
        known = [profile.counts.get(name, 0) for name in kept]
        rest = profile.rows - profile.nulls - sum(known)
        return np.array((profile.nulls, rest, *known), dtype=np.int64)

    return row(reference), row(current)


def same_bins(reference: NumberProfile, current: NumberProfile) -> None:
    """Raise Invalid unless both were counted in the same bins."""
    if reference.edges != current.edges:
        raise Invalid("profiles have different bins: profile the current data in the reference's")


def differences(reference: Counts, current: Counts) -> NDArray[np.float64]:
    """Current minus reference distribution function after each cell but the last."""
    first, second = shares(reference), shares(current)
    return np.asarray(np.cumsum(second - first)[:-1])


def shares(counts: Counts) -> NDArray[np.float64]:
    """Counts as shares of their sum; zeros when there is nothing."""
    return np.asarray(counts / max(1, int(counts.sum())), dtype=float)


def largest(values: NDArray[np.float64]) -> float:
    """Largest absolute value, 0 of none."""
    return float(np.abs(values).max()) if len(values) else 0.0


def reach(reference: Counts, current: Counts, edges: tuple[float, ...]) -> float:
    """Largest difference of the distribution functions anywhere, inside the bins too.

    Counts are those of ``number_counts``. Bins of a single value have no inside.
    """
    first, second = np.cumsum(shares(reference)), np.cumsum(shares(current))
    at_ends = largest(first - second)
    ends = np.array(edges)
    has_inside = np.ones(len(edges) + 2, dtype=bool)
    has_inside[0] = False
    has_inside[2:-1] = np.nextafter(ends[1:], -np.inf) > ends[:-1]
    before_first, before_second = np.r_[0.0, first[:-1]], np.r_[0.0, second[:-1]]
    inside = np.maximum(first - before_second, second - before_first)[has_inside]
    return max(at_ends, float(inside.max()) if len(inside) else 0.0)


def total_variation(reference: Counts, current: Counts) -> float:
    """Half the sum of absolute differences of shares, 0 to 1."""
    return float(0.5 * np.abs(shares(reference) - shares(current)).sum())


def psi(reference: Counts, current: Counts) -> float:
    """Population stability index; half a row in empty cells keeps it finite."""
    first = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    second = (current + 0.5) / (current.sum() + 0.5 * len(current))
    return float(((second - first) * np.log(second / first)).sum())


def coarse(counts: Counts, like: Counts, bins: int = PSI_BINS) -> Counts:
    """Neighbouring cells joined to about ``bins`` of equal mass in ``like``; missing stays."""
    known = like[1:]
    before = np.r_[0, np.cumsum(known)[:-1]]
    group = np.minimum(bins - 1, before * bins // max(1, int(known.sum())))
    joined = np.bincount(group.astype(int), weights=counts[1:], minlength=bins)
    return np.concatenate([counts[:1], joined.astype(np.int64)])


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """Jensen-Shannon distance to base 2: the root of the divergence, 0 to 1."""
    first, second = shares(reference), shares(current)
    middle = (first + second) / 2
    divergence = (special.rel_entr(first, middle) + special.rel_entr(second, middle)).sum() / 2
    return math.sqrt(max(0.0, float(divergence) / math.log(2)))


def ks_p_value(distance: float, n: int, m: int) -> float:
    """Asymptotic p-value of the two-sample Kolmogorov-Smirnov test."""
    if not n or not m:
        return 1.0
    return float(special.kolmogorov(math.sqrt(n * m / (n + m)) * distance))


def chi_square_p_value(reference: Counts, current: Counts) -> float:
    """p-value of Pearson's test of homogeneity, over cells that hold anything."""
    table = np.array([reference, current], dtype=float)
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = ((table - expected) ** 2 / expected).sum()
    return float(special.chdtrc(table.shape[1] - 1, statistic))
