"""What a fitted model really takes: columns of a schema and time features, as float32 and text.

The same two blocks are made from training frames (pandas) and from serving rows (numpy only):
numbers, time features included, as float32 with NaN for missing, and categories as text with the
empty text for missing. float32 on both sides because ONNX computes in it: a model fitted on other
values than it will serve may send a row down another branch of a tree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tools import time_features
from tools.errors import Invalid
from tools.schema import FeatureSchema

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

MISSING_CATEGORY = ""


def number_inputs(schema: FeatureSchema) -> tuple[str, ...]:
    """Names of the model's numeric inputs, in order: number columns, then time features."""
    return schema.numbers + time_features.input_names(schema)


def model_frame(frame: pd.DataFrame, schema: FeatureSchema) -> pd.DataFrame:
    """The model's inputs from a frame that holds the time column and every schema column.

    Columns: ``number_inputs(schema)``, then ``schema.categories``. Raises Invalid naming a column
    that is missing or cannot be read as its type.
    """
    import pandas as pd

    required = (schema.time_column, *schema.names)
    absent = [name for name in required if name not in frame.columns]
    if absent:
        raise Invalid(f"columns are missing from the frame: {', '.join(absent)}")
    inputs: dict[str, Any] = {name: _as_float32(frame[name]) for name in schema.numbers}
    derived = time_features.frame_features(frame[schema.time_column], schema)
    inputs |= {name: values.astype("float32") for name, values in derived.items()}
    inputs |= {name: _as_text(frame[name]) for name in schema.categories}
    return pd.DataFrame(inputs, index=frame.index)


def _as_float32(column: pd.Series[Any]) -> pd.Series[Any]:
    try:
        return column.astype("float32")
    except (ValueError, TypeError) as error:
        raise Invalid(f"expected numbers: {error}", field=str(column.name)) from error


def _as_text(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.astype("object").where(column.notna(), MISSING_CATEGORY).astype(str)


def row_numbers(rows: Sequence[Mapping[str, Any]], schema: FeatureSchema) -> NDArray[np.float32]:
    """Numeric block of serving rows, shape (rows, ``len(number_inputs(schema))``)."""
    names = schema.numbers
    nan = math.nan
    derived = time_features.row_features(rows, schema)
    table = [
        [nan if (value := row.get(name)) is None else value for name in names] + extra
        for row, extra in zip(rows, derived, strict=True)
    ]
    try:
        block = np.array(table, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise Invalid(f"a number column holds something else than numbers: {error}") from error
    return block.reshape(len(rows), len(names) + len(schema.time_features))


def row_categories(rows: Sequence[Mapping[str, Any]], schema: FeatureSchema) -> NDArray[np.object_]:
    """Category block of serving rows, shape (rows, ``len(schema.categories)``), objects of str."""
    names = schema.categories
    table = [
        [MISSING_CATEGORY if (value := row.get(name)) is None else str(value) for name in names]
        for row in rows
    ]
    return np.array(table, dtype=object).reshape(len(rows), len(names))
