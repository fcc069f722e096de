"""Matured rows as evidence: which of them are believed, and what their server saw."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.memory import TargetMemory
from agents.ports import Desk
from agents.windows import between
from tools.artifact import Predictor, load_predictor
from tools.managed_model import ManagedModel
from tools.registry import ModelVersion
from tools.statistics.losses import Floats

if TYPE_CHECKING:
    import pandas as pd


def believed(
    rows: pd.DataFrame, memory: TargetMemory, start: datetime, end: datetime
) -> pd.DataFrame:
    """One window's rows from trusted, unmasked inputs."""
    rows = between(rows, start, end)
    if memory.is_distrusted(start.isoformat(), end.isoformat()):
        return rows.iloc[:0]
    return unmasked(rows)


def unmasked(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that were served as they came."""
    is_whole = np.fromiter((len(masked) == 0 for masked in rows["masked"]), bool, len(rows))
    return rows if is_whole.all() else rows[is_whole]


def as_served(
    rows: pd.DataFrame, columns: tuple[str, ...], time_column: str
) -> list[dict[str, Any]]:
    """The rows as a server is asked: the columns of the schema and the event time."""
    moments = rows["event_time"].to_numpy("datetime64[us]").tolist()
    asked = {name: _values(rows[name]) for name in columns}
    asked[time_column] = [moment.isoformat() for moment in moments]
    names = tuple(asked)
    return [dict(zip(names, record, strict=True)) for record in zip(*asked.values(), strict=True)]


def _values(column: pd.Series[Any]) -> list[Any]:
    """As Python's own values, None where one is missing."""
    values = column.tolist()
    missing = column.isna().to_numpy()
    for index in np.flatnonzero(missing):
        values[index] = None
    return values


def answered_by(
    desk: Desk, model: ManagedModel, version: ModelVersion
) -> Callable[[pd.DataFrame], Floats]:
    """What the version's registered artifact answers to logged rows, masked columns missing."""
    folder = desk.registry.fetch(version.model, version.version, desk.artifacts)
    predictor = _predictor(folder, version.artifact_digest)
    schema = model.spec.schema_

    def answer(rows: pd.DataFrame) -> Floats:
        asked = as_served(rows, schema.names, schema.time_column)
        for row, masked in zip(asked, rows["masked"], strict=True):
            row.update(dict.fromkeys(masked))
        return np.asarray(predictor.predict(asked), dtype=np.float64)

    return answer


@lru_cache(maxsize=8)
def _predictor(folder: Path, digest: str) -> Predictor:
    """Loaded once while the artifact is the same: a look each window must not cost a load."""
    return load_predictor(folder)
