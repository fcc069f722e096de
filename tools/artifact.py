"""The model artifact: an MLflow model folder with an ONNX twin, its digest, and its predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tools.schema import FeatureSchema


class Predictor(Protocol):
    """A loaded artifact: rows in, probabilities of the positive class out."""

    @property
    def schema(self) -> FeatureSchema:
        """The columns that it takes."""

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """One probability per row. Rows hold the time column and every schema column (None when
        missing), already checked against the schema."""
