"""Transformers that a team might put in front of a model; they have no ONNX form."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin


class HalveWeights(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Halves the column ``weight``."""

    def fit(self, inputs: Any, labels: Any = None) -> HalveWeights:
        self.fitted_ = True
        return self

    def transform(self, inputs: Any) -> Any:
        return inputs.assign(weight=inputs["weight"] / 2)


class NoTransformer:
    """Not what a step must be."""
