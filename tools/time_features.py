"""Time features computed from the event time, by one table for training frames and serving rows.

Both ways read an ISO 8601 time as UTC (a time without an offset counts as UTC), so a model sees in
production exactly what it saw in training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tools.errors import Invalid
from tools.schema import FeatureSchema, TimeFeature

if TYPE_CHECKING:
    import pandas as pd

_OFFSET = r"(?:[Zz]|[+-]\d{2}(?::?\d{2}){0,2})$"
_FROM_MOMENT: Mapping[TimeFeature, Callable[[datetime], int]] = {
    "minute_of_day": lambda t: t.hour * 60 + t.minute,
    "weekday": datetime.weekday,
    "hour": lambda t: t.hour,
    "month": lambda t: t.month,
    "day_of_year": lambda t: t.timetuple().tm_yday,
}
_FROM_SERIES: Mapping[TimeFeature, Callable[[Any], Any]] = {
    "minute_of_day": lambda times: times.dt.hour * 60 + times.dt.minute,
    "weekday": lambda times: times.dt.weekday,
    "hour": lambda times: times.dt.hour,
    "month": lambda times: times.dt.month,
    "day_of_year": lambda times: times.dt.dayofyear,
}


def input_name(schema: FeatureSchema, feature: TimeFeature) -> str:
    """Name under which the model sees a time feature, for example ``departure__hour``."""
    return f"{schema.time_column}__{feature}"


def input_names(schema: FeatureSchema) -> tuple[str, ...]:
    """Names of all time features, in the schema's order."""
    return tuple(input_name(schema, feature) for feature in schema.time_features)


def parse_moment(value: Any, *, field: str) -> datetime:
    """An ISO 8601 string or a datetime as naive UTC. Raises Invalid naming ``field``."""
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise Invalid(f"expected an ISO 8601 time, got {value!r}", field=field) from error
    if not isinstance(moment, datetime):
        raise Invalid(f"expected an ISO 8601 time, got {value!r}", field=field)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def parse_times(times: pd.Series[Any], *, field: str) -> pd.Series[Any]:
    """A column of ISO 8601 strings or timestamps as naive UTC. Raises Invalid naming ``field``."""
    import pandas as pd

    try:
        if pd.api.types.is_datetime64_any_dtype(times):
            parsed = pd.to_datetime(times, utc=True)
        elif _are_mixed(times):
            # pandas 2.3 gives a time without an offset the offset of the one before it.
            moments = [None if _is_missing(t) else parse_moment(t, field=field) for t in times]
            parsed = pd.to_datetime(pd.Series(moments, index=times.index), utc=True)
        else:
            parsed = pd.to_datetime(times, utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise Invalid(f"expected ISO 8601 times: {error}", field=field) from error
    missing = int(parsed.isna().sum())
    if missing:
        raise Invalid(f"{missing} of {len(parsed)} times are missing", field=field)
    return parsed.dt.tz_localize(None)


def _are_mixed(times: pd.Series[Any]) -> bool:
    """Whether some of the texts have an offset from UTC and some have none."""
    with_offset = times.astype(str).str.contains(_OFFSET)
    return bool(with_offset.any() and not with_offset[times.notna()].all())


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def frame_features(times: pd.Series[Any], schema: FeatureSchema) -> dict[str, Any]:
    """Every time feature of a column of times, by the name that the model sees."""
    if not schema.time_features:
        return {}
    parsed = parse_times(times, field=schema.time_column)
    return {input_name(schema, f): _FROM_SERIES[f](parsed) for f in schema.time_features}


def row_features(rows: Sequence[Mapping[str, Any]], schema: FeatureSchema) -> list[list[int]]:
    """Every time feature of each row, in the schema's order; no pandas, for the request path."""
    column = schema.time_column
    calculate = [_FROM_MOMENT[feature] for feature in schema.time_features]
    if not calculate:
        return [[] for _ in rows]
    features = []
    for row in rows:
        moment = parse_moment(row.get(column), field=column)
        features.append([of(moment) for of in calculate])
    return features
