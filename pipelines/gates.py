"""Quality gates: whether a challenger may be registered, and how surely.

Against the champion, a gate asks for proof that the challenger is *not worse by more than the
margin* on the same held-out rows: the one-sided confidence bound of the paired difference must lie
within the margin. No proof is no pass; the detail says whether the rows were too few to tell
(underpowered) or the challenger is worse. Rows count as independent. In a slice, where rows are
few, a gate fails only on proof of harm, with alpha split over the slices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from pipelines.measures import LOWER_IS_BETTER, Figure, figure
from tools.managed_model import Gate
from tools.registry import GateResult
from tools.values import Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_SLICE_ROWS = 200
"""Fewer rows say too little of a slice to stop a release."""


class Difference(Value):
    """How much worse the challenger is (positive: worse), with one-sided confidence bounds."""

    mean: float
    lower: float
    upper: float
    rows: int

    @property
    def half_width(self) -> float:
        """What the rows leave open, on each side."""
        return (self.upper - self.lower) / 2


class HeldOut:
    """The rows that gates are judged on, with both models' probabilities for them."""

    def __init__(
        self,
        labels: Floats,
        challenger: Floats,
        champion: Floats | None = None,
        slices: Mapping[str, NDArray[np.object_]] | None = None,
    ) -> None:
        self.labels = labels
        self.challenger = challenger
        self.champion = champion
        self.slices = dict(slices or {})


def judge(gates: Sequence[Gate], rows: HeldOut, *, alpha: float) -> tuple[GateResult, ...]:
    """Every gate's results, absolute limits first, then the comparison, then its slices."""
    results: list[GateResult] = []
    for gate in gates:
        results += _absolute(gate, figure(gate.metric, rows.challenger, rows.labels))
        if gate.not_worse_than_champion_by is not None:
            margin = gate.not_worse_than_champion_by
            results.append(_relative(gate.metric, margin, rows, alpha))
            results += _slices(gate, margin, rows, alpha)
    return tuple(results)


def worse_by(
    metric: str, challenger: Floats, champion: Floats, labels: Floats, *, alpha: float
) -> Difference | None:
    """Paired difference of a figure; None when one of the two cannot be estimated."""
    ours, theirs = (figure(metric, p, labels) for p in (challenger, champion))
    if ours.influence is None or theirs.influence is None or len(labels) < 2:
        return None
    sign = 1.0 if metric in LOWER_IS_BETTER else -1.0
    mean = sign * (ours.value - theirs.value)
    spread = float(np.std(ours.influence - theirs.influence, ddof=1))
    width = float(stdtrit(len(labels) - 1, 1 - alpha)) * spread / math.sqrt(len(labels))
    return Difference(mean=mean, lower=mean - width, upper=mean + width, rows=len(labels))


def _absolute(gate: Gate, found: Figure) -> list[GateResult]:
    results = []
    defined = math.isfinite(found.value)
    value = found.value if defined else 0.0
    note = "" if defined else "the figure is undefined: the held-out rows have one class only"
    for name, limit, holds in (
        ("minimum", gate.minimum, gate.minimum is not None and value >= gate.minimum),
        ("maximum", gate.maximum, gate.maximum is not None and value <= gate.maximum),
    ):
        if limit is not None:
            results.append(
                GateResult(
                    name=f"{gate.metric} {name}",
                    value=value,
                    limit=limit,
                    passed=defined and holds,
                    detail=note,
                )
            )
    return results


def _relative(metric: str, margin: float, rows: HeldOut, alpha: float) -> GateResult:
    name = f"{metric} not worse than champion"
    if rows.champion is None:
        detail = "no champion to compare with"
        return GateResult(name=name, value=0.0, limit=margin, passed=True, detail=detail)
    found = worse_by(metric, rows.challenger, rows.champion, rows.labels, alpha=alpha)
    if found is None:
        detail = f"{metric} cannot be estimated for both models on {len(rows.labels)} rows"
        return GateResult(name=name, value=0.0, limit=margin, passed=False, detail=detail)
    passed = found.upper <= margin
    return GateResult(
        name=name,
        value=found.upper,
        limit=margin,
        passed=passed,
        detail=_explain(found, margin, alpha, passed=passed),
    )


def _explain(found: Difference, margin: float, alpha: float, *, passed: bool) -> str:
    figures = (
        f"worse by {found.mean:+.4f} (between {found.lower:+.4f} and {found.upper:+.4f}, each "
        f"bound at {1 - alpha:.0%}) on {found.rows} rows, margin {margin:g}"
    )
    if passed:
        return figures
    if found.lower > margin:
        return f"worse beyond the margin: {figures}"
    if found.half_width > margin:
        needed = math.ceil(found.rows * (found.half_width / margin) ** 2) if margin > 0 else 0
        hint = f"; about {needed} rows would tell equal models apart from worse" if needed else ""
        return f"underpowered: {figures}{hint}"
    return f"not proven: {figures}"


def _slices(gate: Gate, margin: float, rows: HeldOut, alpha: float) -> list[GateResult]:
    if rows.champion is None:
        return []
    masks = [
        (f"{column}={value}", rows.slices[column] == value)
        for column in gate.slices
        for value in sorted(set(rows.slices[column]))
    ]
    large = [(name, mask) for name, mask in masks if int(mask.sum()) >= MIN_SLICE_ROWS]
    results = []
    for name, mask in large:
        found = worse_by(
            gate.metric,
            rows.challenger[mask],
            rows.champion[mask],
            rows.labels[mask],
            alpha=alpha / len(large),
        )
        if found is not None:
            results.append(_slice_result(gate.metric, name, found, margin))
    return results


def _slice_result(metric: str, name: str, found: Difference, margin: float) -> GateResult:
    passed = found.lower <= margin
    open_question = passed and found.upper > margin
    return GateResult(
        name=f"{metric} not worse than champion where {name}",
        value=found.lower,
        limit=margin,
        passed=passed,
        detail=f"{'underpowered: ' if open_question else ''}worse by {found.mean:+.4f} "
        f"(between {found.lower:+.4f} and {found.upper:+.4f}) on {found.rows} rows",
    )
