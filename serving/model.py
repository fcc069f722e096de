"""The model behind a server: what is loaded, and the row that warms it up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tools.artifact import Predictor, artifact_digest, load_predictor
from tools.errors import Invalid, MendloopError
from tools.schema import Column, ColumnType, FeatureSchema

_THRESHOLD = 0.5
_WARM_UP_TIME = datetime.fromisoformat("2000-01-01T12:00:00")


class LoadedModel(NamedTuple):
    """A predictor and the digest of the artifact that it was loaded from."""

    predictor: Predictor
    digest: str


Load = Callable[[], LoadedModel]


def load_artifact(folder: Path) -> LoadedModel:
    """Load the artifact. Raises Invalid when it cannot be served."""
    digest = artifact_digest(folder)
    try:
        return LoadedModel(load_predictor(folder), digest)
    except MendloopError:
        raise
    except Exception as error:
        raise Invalid(f"{folder} fails while loading: {type(error).__name__}: {error}") from error


def prediction_of(probability: float) -> int:
    """The class that a probability stands for."""
    return int(probability >= _THRESHOLD)


def warm_up_row(schema: FeatureSchema) -> dict[str, Any]:
    """A made-up row that the schema accepts."""
    return {schema.time_column: _WARM_UP_TIME} | {c.name: _middle(c) for c in schema.columns}


def _middle(column: Column) -> float | str:
    if column.type is ColumnType.CATEGORY:
        return "warm-up"
    known = [bound for bound in (column.minimum, column.maximum) if bound is not None]
    return sum(known) / len(known) if known else 0.0
