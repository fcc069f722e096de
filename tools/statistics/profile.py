"""Profiles of data: counts per fixed bin and category, small enough to travel and to be stored.

A reference profile fixes the bins: edges at quantiles of the reference, with an own bin for every
value that holds much mass (a constant is the extreme case), and the most frequent categories.
A current profile counts into the same bins, so profiles of one reference add up: merging them
equals profiling the union. Missing values (null or NaN) are counted, never dropped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tools.errors import Invalid
from tools.values import Value

BINS = 128
TOP_CATEGORIES = 256
"""More categories than this are counted together: their order says little about shifts."""
MAX_CATEGORY_LENGTH = 200
LARGEST_SUMMED = 1e150
"""Larger values are counted but not summed: their squares overflow."""


class NumberProfile(Value):
    """Counts of a number column. Bin i holds edges[i-1] < x <= edges[i]; the ends are open."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    nulls: int = Field(ge=0)
    pivot: float = 0.0
    """Sums are taken about it, so that large offsets do not cost precision."""
    finite: int = Field(default=0, ge=0)
    """Values of at most LARGEST_SUMMED, which the sums are over."""
    sum1: float = 0.0
    """Sum of x - pivot."""
    sum2: float = 0.0
    """Sum of (x - pivot) squared."""
    design_effect: float = Field(default=1.0, ge=1)
    """Rows per independent observation (tools/statistics/clusters.py); 1: every row is one."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.counts) != len(self.edges) + 1:
            raise ValueError(f"{len(self.edges)} edges need {len(self.edges) + 1} counts")
        if any(b <= a for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges must rise strictly")
        return self

    @property
    def rows(self) -> int:
        """Rows counted, missing ones included."""
        return sum(self.counts) + self.nulls

    @property
    def observations(self) -> float:
        """Independent observations behind the rows."""
        return self.rows / self.design_effect

    @property
    def mean(self) -> float | None:
        """Mean of the finite values; None without any."""
        return self.pivot + self.sum1 / self.finite if self.finite else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the finite values; None without any."""
        if not self.finite:
            return None
        average = self.sum1 / self.finite
        return math.sqrt(max(0.0, self.sum2 / self.finite - average * average))

    def quantile(self, level: float) -> float | None:
        """The smallest edge at or below which a share ``level`` of the values lies, or None."""
        total = sum(self.counts)
        if not total or not self.edges:
            return None
        reached = np.searchsorted(np.cumsum(self.counts), level * total)
        return self.edges[min(int(reached), len(self.edges) - 1)]


class CategoryProfile(Value):
    """Counts of a category column: the reference's most frequent ones, and all others together."""

    counts: dict[str, int]
    other: int = Field(default=0, ge=0)
    nulls: int = Field(ge=0)

    @property
    def rows(self) -> int:
        """Rows counted, missing ones included."""
        return sum(self.counts.values()) + self.other + self.nulls


class Profile(Value):
    """The profile of a table; ``label`` and ``score`` are distributions of their own."""

    rows: int = Field(ge=0)
    numbers: dict[str, NumberProfile] = {}
    categories: dict[str, CategoryProfile] = {}
    label: NumberProfile | None = None
    score: NumberProfile | None = None

    @property
    def features(self) -> dict[str, NumberProfile | CategoryProfile]:
        """Every input column, numbers first."""
        return {**self.numbers, **self.categories}


def reference_profile(
    frame: pd.DataFrame,
    *,
    numbers: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    label: str | None = None,
    score: str | None = None,
    bins: int = BINS,
    top: int = TOP_CATEGORIES,
) -> Profile:
    """Profile a reference and fix the bins at its own quantiles."""
    require_columns(frame, (*numbers, *categories, *(n for n in (label, score) if n)))

    def number(name: str) -> NumberProfile:
        values = as_floats(frame[name])
        edges = quantile_edges(values, bins)
        return count_numbers(values, edges, pivot_of(edges))

    return Profile(
        rows=len(frame),
        numbers={name: number(name) for name in numbers},
        categories={name: count_categories(frame[name], top=top) for name in categories},
        label=number(label) if label else None,
        score=number(score) if score else None,
    )


def current_profile(
    frame: pd.DataFrame,
    reference: Profile,
    *,
    label: str | None = None,
    score: str | None = None,
) -> Profile:
    """Profile a frame into the bins of a reference; Invalid names a column that is missing."""
    require_columns(frame, (*reference.numbers, *reference.categories))

    def number(name: str | None, like: NumberProfile | None) -> NumberProfile | None:
        if name is None or like is None:
            return None
        require_columns(frame, (name,))
        return count_numbers(as_floats(frame[name]), np.array(like.edges), like.pivot)

    return Profile(
        rows=len(frame),
        numbers={
            name: count_numbers(as_floats(frame[name]), np.array(like.edges), like.pivot)
            for name, like in reference.numbers.items()
        },
        categories={
            name: count_categories(frame[name], known=like.counts)
            for name, like in reference.categories.items()
        },
        label=number(label, reference.label),
        score=number(score, reference.score),
    )


def merge(first: Profile, second: Profile) -> Profile:
    """The profile of both tables together; both must have been made in the same bins."""
    if first.numbers.keys() != second.numbers.keys() or (
        first.categories.keys() != second.categories.keys()
    ):
        raise Invalid("profiles of different columns do not add up; profile both in one reference")
    return Profile(
        rows=first.rows + second.rows,
        numbers={n: _add(n, p, second.numbers[n]) for n, p in first.numbers.items()},
        categories={
            name: CategoryProfile(
                counts={
                    c: p.counts.get(c, 0) + second.categories[name].counts.get(c, 0)
                    for c in p.counts | second.categories[name].counts
                },
                other=p.other + second.categories[name].other,
                nulls=p.nulls + second.categories[name].nulls,
            )
            for name, p in first.categories.items()
        },
        label=_add_optional("label", first.label, second.label),
        score=_add_optional("score", first.score, second.score),
    )


def _add_optional(
    name: str, first: NumberProfile | None, second: NumberProfile | None
) -> NumberProfile | None:
    return None if first is None or second is None else _add(name, first, second)


def _add(name: str, first: NumberProfile, second: NumberProfile) -> NumberProfile:
    if first.edges != second.edges or first.pivot != second.pivot:
        raise Invalid("profiles have different bins; profile both in one reference", field=name)
    rows = first.rows + second.rows
    apart = first.observations + second.observations
    return NumberProfile(
        edges=first.edges,
        counts=tuple(a + b for a, b in zip(first.counts, second.counts, strict=True)),
        nulls=first.nulls + second.nulls,
        design_effect=rows / apart if rows else 1.0,
        pivot=first.pivot,
        finite=first.finite + second.finite,
        sum1=first.sum1 + second.sum1,
        sum2=first.sum2 + second.sum2,
    )


def quantile_edges(values: NDArray[np.float64], bins: int = BINS) -> NDArray[np.float64]:
    """Edges of about equal mass; a value with the mass of a bin gets a bin of its own.

    Infinite values lie in the open end bins. No values give no edges: one bin.
    """
    finite = np.sort(values[np.isfinite(values)])
    if not len(finite):
        return np.empty(0)
    # Order statistics, not interpolation: every edge is a value that occurs.
    positions = np.unique((np.arange(1, bins) * len(finite)) // bins)
    quantiles, repeats = np.unique(finite[positions], return_counts=True)
    atoms = quantiles[repeats > 1] if len(finite) > bins else quantiles
    if finite[0] == finite[-1]:
        quantiles = atoms = finite[:1]
    below = np.nextafter(atoms[atoms > np.finfo(float).min], -np.inf)
    edges = np.unique(np.concatenate([quantiles, below]))
    return np.asarray(edges, dtype=float)


def pivot_of(edges: NDArray[np.float64]) -> float:
    """About the median, from the edges; 0 where it is too large to sum about."""
    middle = float(edges[len(edges) // 2]) if len(edges) else 0.0
    return middle if abs(middle) <= LARGEST_SUMMED else 0.0


def count_numbers(
    values: NDArray[np.float64], edges: NDArray[np.float64], pivot: float
) -> NumberProfile:
    """Count values (NaN is missing) into the bins between ``edges``."""
    ordered = np.sort(values)  # missing last; sorting is faster than a search per value
    known = ordered[: len(ordered) - int(np.isnan(values).sum())]
    below = np.searchsorted(known, edges, side="right")
    counts = np.diff(below, prepend=0, append=len(known))
    centred = known[np.abs(known) <= LARGEST_SUMMED] - pivot
    return NumberProfile(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        nulls=len(values) - len(known),
        pivot=pivot,
        finite=len(centred),
        sum1=float(centred.sum()),
        sum2=float(np.square(centred).sum()),
    )


def count_categories(
    values: pd.Series, *, known: Mapping[str, int] | None = None, top: int = TOP_CATEGORIES
) -> CategoryProfile:
    """Count categories: the ``top`` most frequent, or those that a reference knows."""
    found = values.value_counts(dropna=True)
    by_name = {str(k)[:MAX_CATEGORY_LENGTH]: 0 for k in found.index}
    for name, count in found.items():
        by_name[str(name)[:MAX_CATEGORY_LENGTH]] += int(count)
    if known is None:
        ranked = sorted(by_name, key=lambda name: (-by_name[name], name))[:top]
        kept = {name: by_name[name] for name in sorted(ranked)}
    else:
        kept = {name: by_name.get(name, 0) for name in known}
    total = sum(by_name.values())
    return CategoryProfile(counts=kept, other=total - sum(kept.values()), nulls=len(values) - total)


def as_floats(values: pd.Series) -> NDArray[np.float64]:
    """The values as float64 with NaN for missing; Invalid when they are not numbers."""
    if values.dtype == np.float64:
        return np.asarray(values.to_numpy())
    try:
        floats = values.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise Invalid(f"not a column of numbers: {error}", field=str(values.name)) from error
    return np.asarray(floats)


def require_columns(frame: pd.DataFrame, names: tuple[str, ...]) -> None:
    """Raise Invalid that names the columns which are not there."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise Invalid(f"no such columns: {', '.join(missing)}", field="columns")
