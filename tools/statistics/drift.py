"""Compares two profiles column by column, with one false-alarm rate for the whole report.

A column has shifted when the smallest distance consistent with the data exceeds the tolerance. With
``alpha`` split over all columns, the chance that *any* column is called shifted although its true
distance is within the tolerance is at most ``alpha``: at every sample size, for any number of
columns, whatever their distributions and however they depend on each other. The same holds for
calling any column steady although it is not. What is neither is unknown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import numpy as np
from pydantic import Field

from tools.errors import Invalid
from tools.statistics import bands, distances
from tools.statistics.joint_shift import JointShift, Shifted
from tools.statistics.profile import CategoryProfile, NumberProfile, Profile
from tools.statistics.verdict import Judgement, Verdict
from tools.values import Value

__all__ = ["DriftReport", "FeatureDrift", "JointShift", "Shifted", "compare"]

DEFAULT_ALPHA = 0.01
DEFAULT_TOLERANCE = 0.05
"""A twentieth of the rows on the other side of some value: 0.125 standard deviations."""
JOINT_SHARE = 0.25
"""Share of alpha that a report keeps for the joint test, whether or not it is made."""
_POINTS = 31
_CELLS = 32
"""Categories told apart by the band; rarer ones count together, which can only hide a shift."""


class Kind(StrEnum):
    """What a column holds."""

    NUMBER = "number"
    CATEGORY = "category"


class FeatureDrift(Value):
    """Figures and verdict of one column. Rates and distances are shares of rows, 0 to 1."""

    kind: Kind
    verdict: Shifted
    distance: float
    """Observed: Kolmogorov for numbers, total variation for categories; missing included."""
    lower: float
    upper: float
    """The true distance lies between these with the report's confidence."""
    measure: Literal["kolmogorov", "total_variation"]
    psi: float
    jensen_shannon: float
    ks_p_value: float | None
    """Of this column alone; the textbook's, not what the verdict rests on. None for categories."""
    chi_square_p_value: float | None
    """As above. None for numbers."""
    mean_shift: float | None
    """In standard deviations of the reference; None where there is no finite spread."""
    null_rate_reference: float
    null_rate: float
    unseen_rate: float | None
    """Rows in categories that the reference never saw; None where it counted rare ones together."""

    @property
    def null_shift(self) -> float:
        """Change of the rate of missing values."""
        return self.null_rate - self.null_rate_reference


class DriftReport(Value):
    """Every column of a current table against the reference."""

    rows_reference: int
    rows_current: int
    alpha: float
    tolerance: float
    features: dict[str, FeatureDrift]
    label: FeatureDrift | None = None
    score: FeatureDrift | None = None
    joint: JointShift | None = None
    season: str = Field(default="", max_length=100)
    """Which part of the reference was compared with, when not all of it."""

    @property
    def shifted(self) -> tuple[str, ...]:
        """Columns that shifted beyond the tolerance, furthest first."""
        found = [n for n, f in self.features.items() if f.verdict is Shifted.YES]
        return tuple(sorted(found, key=lambda name: (-self.features[name].lower, name)))

    @property
    def has_shifted(self) -> bool:
        """Whether any column, or the columns jointly, shifted beyond the tolerance."""
        return bool(self.shifted) or (self.joint is not None and self.joint.verdict is Shifted.YES)

    def inputs_judgement(self) -> Judgement:
        """The report as evidence on the inputs: HARMFUL is "shifted beyond tolerance"."""
        verdicts = [f.verdict for f in self.features.values()]
        figures = {f"lower.{n}": round(self.features[n].lower, 6) for n in self.shifted[:10]}
        sizes = f"{self.rows_current} against {self.rows_reference} rows"
        if self.has_shifted:
            told = [_says(name, self.features[name]) for name in self.shifted[:3]]
            if not told and self.joint is not None:
                told = [f"jointly by at least {self.joint.lower:.3f}"]
            more = f" and {len(self.shifted) - 3} more" if len(self.shifted) > 3 else ""
            reason = f"{'; '.join(told)}{more} (tolerance {self.tolerance:g}, {sizes})"
            return Judgement(verdict=Verdict.HARMFUL, reason=reason, figures=figures)
        if verdicts and all(v is Shifted.NO for v in verdicts):
            reason = f"no column shifted by more than {self.tolerance:g} ({sizes})"
            return Judgement(verdict=Verdict.HEALTHY, reason=reason)
        unknown = sum(v is Shifted.UNKNOWN for v in verdicts)
        reason = f"{unknown} of {len(verdicts)} columns may or may not have shifted by more than "
        reason += f"{self.tolerance:g} ({sizes})"
        return Judgement(verdict=Verdict.UNKNOWN, reason=reason)

    def column_judgement(self, which: Literal["label", "score"]) -> Judgement | None:
        """The same for the label or the score; None when the profiles hold none."""
        column = self.label if which == "label" else self.score
        if column is None:
            return None
        verdict = {
            Shifted.YES: Verdict.HARMFUL,
            Shifted.NO: Verdict.HEALTHY,
            Shifted.UNKNOWN: Verdict.UNKNOWN,
        }[column.verdict]
        reason = f"{_says(which, column)} (tolerance {self.tolerance:g})"
        return Judgement(verdict=verdict, reason=reason, figures={"lower": column.lower})


def compare(
    reference: Profile,
    current: Profile,
    *,
    alpha: float = DEFAULT_ALPHA,
    tolerance: float = DEFAULT_TOLERANCE,
    joint: JointShift | None = None,
) -> DriftReport:
    """Compare a current profile with the reference it was counted in.

    ``joint`` is the outcome of a joint test made at ``alpha * JOINT_SHARE``; the columns share the
    rest. Raises Invalid for profiles of different bins and for rates outside their ranges.
    """
    check_rates(alpha, tolerance)
    if not reference.features or reference.features.keys() - current.features.keys():
        missing = sorted(reference.features.keys() - current.features.keys())
        raise Invalid(f"the profiles share no columns or lack some: {', '.join(missing)}")
    extra = sum(
        a is not None and b is not None
        for a, b in ((reference.label, current.label), (reference.score, current.score))
    )
    delta = alpha * (1 - JOINT_SHARE) / (len(reference.features) + extra)

    def number(first: NumberProfile | None, second: NumberProfile | None) -> FeatureDrift | None:
        if first is None or second is None:
            return None
        return _compare_numbers(first, second, delta, tolerance)

    features = {
        name: _compare_numbers(like, current.numbers[name], delta, tolerance)
        for name, like in reference.numbers.items()
    } | {
        name: _compare_categories(like, current.categories[name], delta, tolerance)
        for name, like in reference.categories.items()
    }
    return DriftReport(
        rows_reference=reference.rows,
        rows_current=current.rows,
        alpha=alpha,
        tolerance=tolerance,
        features=features,
        label=number(reference.label, current.label),
        score=number(reference.score, current.score),
        joint=joint,
    )


def check_rates(alpha: float, tolerance: float) -> None:
    """Raise Invalid for an alpha outside (0, 0.5) or a tolerance outside [0, 1)."""
    if not 0 < alpha < 0.5:
        raise Invalid(f"expected a rate between 0 and 0.5, got {alpha:g}", field="alpha")
    if not 0 <= tolerance < 1:
        raise Invalid(
            f"expected a distance from 0 to below 1, got {tolerance:g}", field="tolerance"
        )


def _compare_numbers(
    reference: NumberProfile, current: NumberProfile, delta: float, tolerance: float
) -> FeatureDrift:
    distances.same_bins(reference, current)
    first, second = distances.number_counts(reference), distances.number_counts(current)
    gaps = distances.differences(first, second)
    n, m = int(first.sum()), int(second.sum())
    apart = reference.observations, current.observations
    everywhere = bands.dkw_width(*apart, delta)
    points = _points(first)
    at_points = bands.points_width(*apart, delta, len(points))
    if at_points < everywhere:
        lower = distances.largest(gaps[points]) - at_points
    else:
        lower = distances.largest(gaps) - everywhere
    upper = distances.reach(first, second, reference.edges) + everywhere
    deciles = distances.coarse(first, first), distances.coarse(second, first)
    return FeatureDrift(
        kind=Kind.NUMBER,
        measure="kolmogorov",
        distance=distances.largest(gaps),
        psi=distances.psi(*deciles),
        jensen_shannon=distances.jensen_shannon(*deciles),
        ks_p_value=distances.ks_p_value(distances.largest(gaps), n, m),
        chi_square_p_value=None,
        mean_shift=_mean_shift(reference, current),
        unseen_rate=0.0,
        null_rate_reference=reference.nulls / max(1, n),
        null_rate=current.nulls / max(1, m),
        lower=max(0.0, lower),
        upper=min(1.0, upper),
        verdict=_verdict(lower, upper, tolerance),
    )


def _points(reference: distances.Counts) -> list[int]:
    """Few cells at even steps of the reference's mass, and the end of the missing ones."""
    reached = np.cumsum(distances.shares(reference))[:-1]
    steps = np.arange(1, _POINTS + 1) / (_POINTS + 1)
    found = np.searchsorted(reached, steps)
    return sorted({0, *found[found < len(reached)].tolist()} if len(reached) else set())


def _compare_categories(
    reference: CategoryProfile, current: CategoryProfile, delta: float, tolerance: float
) -> FeatureDrift:
    first, second = distances.category_counts(reference, current)
    some_first, some_second = distances.category_counts(reference, current, _CELLS)
    width = bands.total_variation_width(some_first, some_second, delta)
    lower = distances.total_variation(some_first, some_second) - width
    observed = distances.total_variation(first, second)
    upper = observed + bands.total_variation_width(first, second, delta)
    n, m = int(first.sum()), int(second.sum())
    return FeatureDrift(
        kind=Kind.CATEGORY,
        measure="total_variation",
        distance=observed,
        psi=distances.psi(first, second),
        jensen_shannon=distances.jensen_shannon(first, second),
        ks_p_value=None,
        chi_square_p_value=distances.chi_square_p_value(first, second),
        mean_shift=None,
        unseen_rate=None if reference.other else current.other / max(1, m),
        null_rate_reference=reference.nulls / max(1, n),
        null_rate=current.nulls / max(1, m),
        lower=max(0.0, lower),
        upper=min(1.0, upper),
        verdict=_verdict(lower, upper, tolerance),
    )


def _verdict(lower: float, upper: float, tolerance: float) -> Shifted:
    if max(0.0, lower) > tolerance:
        return Shifted.YES
    return Shifted.NO if upper <= tolerance else Shifted.UNKNOWN


def _mean_shift(reference: NumberProfile, current: NumberProfile) -> float | None:
    spread, before, now = reference.deviation, reference.mean, current.mean
    if not spread or before is None or now is None:
        return None
    return (now - before) / spread


def _says(name: str, feature: FeatureDrift) -> str:
    return f"{name} moved by {feature.distance:.3f}, at least {feature.lower:.3f}"
