"""Step ``validate``: refuses data that no model should be fitted on, and says all that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.errors import Invalid
from tools.managed_model import ManagedModelSpec
from tools.schema import Column, ColumnType
from tools.time_features import parse_times

if TYPE_CHECKING:
    import pandas as pd


def validate(rows: Path, spec: ManagedModelSpec, report: Path) -> None:
    """Write what was found to ``report``. Raises Invalid that lists every violation."""
    import pandas as pd

    frame = pd.read_parquet(rows)
    problems = violations(frame, spec)
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise Invalid(f"the training data breaks {len(problems)} rules:\n{lines}")
    report.write_text(json.dumps(describe(frame, spec), allow_nan=False), encoding="utf-8")


def violations(frame: pd.DataFrame, spec: ManagedModelSpec) -> list[str]:
    """Everything that forbids training on the frame, as sentences that begin with the column."""
    schema = spec.schema_
    present = set(frame.columns)
    found = [
        f"{name}: known only after the event, so it leaks the label; remove it from the data"
        for name in schema.forbidden
        if name in present
    ]
    required = (schema.time_column, *schema.names, spec.label.name)
    found += [f"{name}: the column is missing" for name in required if name not in present]
    if len(frame) < spec.data.min_rows:
        found.append(f"rows: {len(frame)}, at least {spec.data.min_rows} are needed")
    for column in schema.columns:
        if column.name in present:
            found += _column_violations(frame[column.name], column, spec.data.max_null_rate)
    if spec.label.name in present:
        found += _label_violations(frame[spec.label.name])
    if schema.time_column in present:
        found += _time_violations(frame[schema.time_column])
    return found


def describe(frame: pd.DataFrame, spec: ManagedModelSpec) -> dict[str, Any]:
    """Facts about valid data: rows, time span, label rate, missing values, ranges, extras."""
    schema = spec.schema_
    times = parse_times(frame[schema.time_column], field=schema.time_column)
    known = {schema.time_column, spec.label.name, *schema.names}
    return {
        "rows": len(frame),
        "start": times.min().isoformat(),
        "end": times.max().isoformat(),
        "label_rate": float(frame[spec.label.name].mean()),
        "null_rates": {name: float(frame[name].isna().mean()) for name in schema.names},
        "ranges": {column.name: _range(frame[column.name], column) for column in schema.columns},
        "ignored_columns": sorted(str(name) for name in frame.columns if name not in known),
    }


def _column_violations(values: pd.Series[Any], column: Column, max_null_rate: float) -> list[str]:
    import numpy as np
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    name = column.name
    if values.isna().all():
        # Feeds may be down for the whole window; a column that must be there may not.
        return [] if column.nullable else [f"{name}: every value is missing"]
    found = []
    if column.type is ColumnType.NUMBER:
        if not is_numeric_dtype(values) or is_bool_dtype(values):
            return [f"{name}: expected numbers, got {values.dtype}"]
        if np.isinf(values.to_numpy(dtype=float, na_value=np.nan)).any():
            found.append(f"{name}: holds infinite values")
    elif is_numeric_dtype(values):
        found.append(f"{name}: expected text, got {values.dtype}")
    null_rate = float(values.isna().mean())
    if not column.nullable and null_rate > max_null_rate:
        found.append(f"{name}: {null_rate:.1%} missing, at most {max_null_rate:.1%} are allowed")
    return found


def _label_violations(labels: pd.Series[Any]) -> list[str]:
    values = set(labels.unique().tolist())
    if not values <= {0, 1}:
        strange = sorted(map(str, values - {0, 1}))[:5]
        return [f"{labels.name}: labels must be 0 or 1, got {', '.join(strange)}"]
    if len(values) < 2:
        return [f"{labels.name}: every label is {values.pop():g}, nothing can be learned"]
    return []


def _time_violations(times: pd.Series[Any]) -> list[str]:
    try:
        parse_times(times, field=str(times.name))
    except Invalid as error:
        return [str(error)]
    return []


def _range(values: pd.Series[Any], column: Column) -> dict[str, Any]:
    if column.type is ColumnType.CATEGORY:
        return {"values": int(values.nunique())}
    present = values.dropna()
    if present.empty:
        return {"outside": 0.0}
    outside = present.notna() & False
    if column.minimum is not None:
        outside |= present < column.minimum
    if column.maximum is not None:
        outside |= present > column.maximum
    return {
        "minimum": float(present.min()),
        "median": float(present.median()),
        "maximum": float(present.max()),
        "outside": float(outside.mean()),
    }
