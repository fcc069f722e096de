"""Fits small models for real: logistic regression on whatever the pinned rows hold.

Newton's method on standardized inputs, missing numbers imputed by the mean, one input per depot
that was seen. Poisoned, leaking or stale rows make a worse model because it is fitted to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simulations.law import Columns, Floats, numbers, sigmoid

if TYPE_CHECKING:
    import pandas as pd

RIDGE = 1.0
"""Penalty per row-independent coefficient; keeps a separable set finite."""
STEPS = 12


@dataclass(frozen=True)
class FittedLogistic:
    """A model that can be pickled, loaded and asked like any other artifact."""

    means: Mapping[str, float]
    scales: Mapping[str, float]
    categories: Mapping[str, tuple[str, ...]]
    weights: tuple[float, ...]
    """Intercept, numbers, categories, in that order."""

    def chance(self, rows: Columns) -> Floats:
        """Believed chance per row; missing numbers count as their mean."""
        table = _inputs(rows, self.means, self.scales, self.categories)
        return sigmoid(table @ np.asarray(self.weights))

    def predict_proba(self, rows: pd.DataFrame) -> Floats:
        """The same in the shape that an artifact's predictor asks for."""
        chance = self.chance({str(name): rows[name].to_numpy() for name in rows.columns})
        return np.column_stack([1.0 - chance, chance])


def fit(
    rows: Columns, labels: Floats, *, number_columns: tuple[str, ...], text_columns: tuple[str, ...]
) -> FittedLogistic:
    """The model of these rows; labels are 0 or 1."""
    means, scales = {}, {}
    for name in number_columns:
        known = numbers(rows, name)
        known = known[np.isfinite(known)]
        means[name] = float(known.mean()) if len(known) else 0.0
        deviation = float(known.std()) if len(known) else 0.0
        scales[name] = deviation if deviation > 1e-9 else 1.0
    categories = {name: tuple(sorted({str(v) for v in rows[name]})) for name in text_columns}
    table = _inputs(rows, means, scales, categories)
    return FittedLogistic(means, scales, categories, tuple(_newton(table, labels).tolist()))


def _inputs(
    rows: Columns,
    means: Mapping[str, float],
    scales: Mapping[str, float],
    categories: Mapping[str, tuple[str, ...]],
) -> Floats:
    blocks: list[Any] = []
    for name, mean in means.items():
        values = (numbers(rows, name) - mean) / scales[name]
        blocks.append(np.where(np.isfinite(values), np.clip(values, -20, 20), 0.0))
    for name, known in categories.items():
        blocks += [(rows[name] == value).astype(np.float64) for value in known[1:]]
    return np.column_stack([np.ones(len(blocks[0])), *blocks])


def _newton(table: Floats, labels: Floats) -> Floats:
    weights = np.zeros(table.shape[1])
    penalty = np.full(table.shape[1], RIDGE)
    penalty[0] = 0.0
    for _ in range(STEPS):
        chance = sigmoid(table @ weights)
        slope = table.T @ (labels - chance) - penalty * weights
        bend = (table * (chance * (1 - chance) + 1e-9)[:, None]).T @ table + np.diag(penalty)
        step = np.linalg.solve(bend + 1e-9 * np.eye(len(bend)), slope)
        weights = weights + step
        if float(np.abs(step).max()) < 1e-6:
            break
    return weights
