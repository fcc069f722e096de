"""The files of the prediction log: their columns, and how one gets into place whole or not at all.

A part is written beside its folder's parts under a name that no reader looks at, synced, then
renamed. Parts are never changed afterwards, so readers may cache what they read from one.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tools.durable_files import write_durably
from tools.errors import Invalid, Unavailable
from tools.schema import ColumnType, FeatureSchema

if TYPE_CHECKING:
    import pandas as pd

INSTANT = pa.timestamp("us")
PREDICTION_FIELDS: Mapping[str, pa.DataType] = {
    "request_id": pa.string(),
    "event_time": INSTANT,
    "version": pa.string(),
    "probability": pa.float64(),
    "masked": pa.list_(pa.string()),
    "served_at": INSTANT,
}
"""Every part of a prediction log has these; the features follow."""
LABEL_FIELDS: Mapping[str, pa.DataType] = {
    "request_id": pa.string(),
    "label": pa.float64(),
    "known_at": INSTANT,
}
RESERVED = frozenset(PREDICTION_FIELDS) | frozenset(LABEL_FIELDS)
"""Names that a feature may not have (in any spelling of case: query engines ignore it)."""

SHADOW = "shadow"
TARGET_NAME = re.compile(rf"[a-z0-9][-a-z0-9]{{0,62}}/[a-z0-9][-a-z0-9]{{0,62}}(\.{SHADOW})?")


def shadow_of(target: str) -> str:
    """The name under which answers to copies of the target's requests are logged.

    A log of their own: no user got them, so nothing that judges what was served may read them.
    """
    return f"{target}.{SHADOW}"


def target_folder(root: Path, target: str) -> Path:
    """The folder of one target's parts below ``root``. Raises Invalid on a malformed target."""
    if not TARGET_NAME.fullmatch(target):
        raise Invalid(f"expected namespace/name, got {target!r}", field="target")
    served, is_shadow, _ = target.partition(f".{SHADOW}")
    return shadow_folder(root / served) if is_shadow else root / served


def shadow_folder(folder: Path) -> Path:
    """Where answers to copies are logged beside those in a target's ``folder``."""
    return folder / SHADOW


def prediction_schema(features: Mapping[str, pa.DataType]) -> pa.Schema:
    """The columns of a prediction part that logs ``features``.

    Raises Invalid when a feature would hide one of the log's own columns or another feature.
    """
    taken = {name.casefold(): name for name in RESERVED}
    for name in features:
        other = taken.setdefault(name.casefold(), name)
        if other != name or name in RESERVED:
            raise Invalid(
                f"the prediction log cannot hold it beside its column {other!r}; rename the column",
                field=name,
            )
    return pa.schema(list({**PREDICTION_FIELDS, **features}.items()))


def feature_types(schema: FeatureSchema) -> dict[str, pa.DataType]:
    """How the log stores each column of a model."""
    return {
        column.name: pa.float64() if column.type is ColumnType.NUMBER else pa.string()
        for column in schema.columns
    }


def part_name() -> str:
    """A name that no other part has; names sort by the time at which they were made."""
    return f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.parquet"


def write_part(folder: Path, name: str, table: pa.Table) -> Path:
    """Put ``table`` into ``folder`` as the part ``name``, durably; the same name replaces.

    Raises Unavailable when the disk refuses; then no part of that name came into being.
    """
    place = folder / name
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    try:
        write_durably(place, sink.getvalue().to_pybytes())
    except OSError as error:
        raise Unavailable(
            f"cannot write the log part {place}: {error.strerror}; free space or fix its "
            "permissions, it is tried again"
        ) from error
    return place


def append_predictions(folder: Path, frame: pd.DataFrame) -> Path | None:
    """Add a part with the rows of ``frame`` (the log's columns and features) to ``folder``."""
    from pandas.api.types import is_numeric_dtype

    frame = frame.assign(served_at=frame.get("served_at", frame.get("event_time")))
    _require(frame, PREDICTION_FIELDS, "a prediction part")
    features = {
        name: pa.float64() if is_numeric_dtype(frame[name]) else pa.string()
        for name in frame.columns
        if name not in PREDICTION_FIELDS
    }
    return _append(folder, frame, prediction_schema(features))


def append_labels(folder: Path, frame: pd.DataFrame) -> Path | None:
    """Add a part with ``request_id, label, known_at`` to a target's label ``folder``.

    Labels are 0 or 1. A later ``known_at`` for the same request corrects the earlier label from
    then on. Returns the part's path, None for an empty frame. Raises Invalid on a wrong frame.
    """
    _require(frame, LABEL_FIELDS, "a label part")
    wrong = ~frame["label"].isin([0, 1])
    if wrong.any():
        raise Invalid(f"expected 0 or 1, got {frame['label'][wrong].iloc[0]!r}", field="label")
    return _append(folder, frame, pa.schema(list(LABEL_FIELDS.items())))


def require_naive(**instants: datetime | None) -> None:
    """Raise Invalid, naming the argument, when an instant carries a time zone."""
    for name, instant in instants.items():
        if instant is not None and instant.tzinfo is not None:
            raise Invalid(f"expected naive UTC, got {instant.isoformat()}", field=name)


def _require(frame: pd.DataFrame, fields: Mapping[str, pa.DataType], what: str) -> None:
    for name, kind in fields.items():
        if name not in frame:
            raise Invalid(f"{what} needs this column; the frame has {list(frame)}", field=name)
        if kind == INSTANT:
            _require_instants(frame[name])
        if name == "request_id" and frame[name].isna().any():
            raise Invalid(f"{what} needs a request id in every row", field=name)


def _require_instants(column: pd.Series[Any]) -> None:
    from pandas.api.types import is_datetime64_dtype

    if not is_datetime64_dtype(column) or column.isna().any():
        raise Invalid(
            f"expected naive UTC timestamps without gaps, got {column.dtype}",
            field=str(column.name),
        )


def _append(folder: Path, frame: pd.DataFrame, schema: pa.Schema) -> Path | None:
    if frame.empty:
        return None
    try:
        table = pa.Table.from_pandas(
            frame[schema.names], schema=schema, preserve_index=False, safe=False
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise Invalid(f"the frame does not fit the log's columns: {error}") from error
    return write_part(folder, part_name(), table.replace_schema_metadata(None))
