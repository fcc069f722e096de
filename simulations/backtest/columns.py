"""What the columns of an unknown file are: features, a time, or nothing that a model can use."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.errors import Invalid

if TYPE_CHECKING:
    import pandas as pd

MOST_CATEGORIES = 200
"""Values of one category that the learner tells apart; the rarer ones count as one."""
_TIME_NAMES = re.compile(r"(^|_)(time|timestamp|datetime|date|ts|when)($|_)", re.IGNORECASE)
_LOOKS_LIKE_TIME = re.compile(r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}|$)|^\d{1,2}[/.]\d{1,2}[/.]\d{4}")
_SAMPLE = 200
_EPOCHS = (("s", 1e8, 1e10), ("ms", 1e11, 1e13), ("us", 1e14, 1e16), ("ns", 1e17, 1e19))
"""Units of time since 1970, and the numbers that lie between 1973 and 2286 in each."""
_IS_ID = 0.9
"""Share of different values from which text is an identifier."""


class Features:
    """Collects the columns of the matrix and what is said about them."""

    def __init__(self) -> None:
        self.columns: list[Any] = []
        self.names: list[str] = []
        self.is_category: list[bool] = []
        self.skipped: dict[str, str] = {}
        self.notes: list[str] = []

    def add(self, name: str, values: Any, *, is_category: bool = False) -> None:
        """One more column of the matrix."""
        self.columns.append(values)
        self.names.append(name)
        self.is_category.append(is_category)

    def matrix(self) -> Any:
        """All columns; Invalid when there is none."""
        if not self.columns:
            left_out = "; ".join(f"{n}: {why}" for n, why in self.skipped.items())
            raise Invalid(f"no column is left that a model could use ({left_out or 'none given'})")
        return np.column_stack(self.columns)


def find_time(frame: pd.DataFrame, label: str) -> str:
    """The time column, where it is obvious; empty where it is not.

    Obvious is one column of times, or among several the only one that is called so.
    """
    found = [str(name) for name in frame.columns if name != label and is_time(frame[name])]
    if len(found) > 1:
        found = [name for name in found if _TIME_NAMES.search(name)]
    return found[0] if len(found) == 1 else ""


def is_time(column: pd.Series[Any]) -> bool:
    """Whether the column holds times, by its type or by what its texts look like."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    if pd.api.types.is_numeric_dtype(column) or not len(column):
        return False
    shown = column.dropna().head(_SAMPLE)
    return bool(len(shown)) and all(_LOOKS_LIKE_TIME.match(str(value)) for value in shown)


def parse_time(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    """The column as naive UTC; what cannot be read is NaT. Invalid when hardly any can."""
    import pandas as pd

    column = frame[name]
    if pd.api.types.is_numeric_dtype(column):
        return _from_epoch(column, name)
    read = pd.to_datetime(column, errors="coerce", utc=True, format="mixed").dt.tz_localize(None)
    bad = int((read.isna() & column.notna()).sum())
    if bad > 0.01 * len(column) or read.isna().all():
        example = column[read.isna()].iloc[0] if read.isna().any() else ""
        raise Invalid(
            f"{bad:,} of {len(column):,} values are no times, for example {example!r}; expected"
            " ISO 8601 such as 2024-03-01T12:00",
            field=f"--time {name}",
        )
    return read.astype("datetime64[us]")


def _from_epoch(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    """Seconds, milli-, micro- or nanoseconds since 1970, told apart by how many they are."""
    import pandas as pd

    numbers = column.to_numpy(dtype=float, na_value=np.nan)
    numbers = np.where(np.isinf(numbers), np.nan, numbers)
    middle = float(np.nanmedian(numbers)) if np.isfinite(numbers).any() else 0.0
    unit = next((unit for unit, low, high in _EPOCHS if low <= middle < high), "")
    if not unit:
        raise Invalid(
            f"holds numbers such as {middle:g}, expected times such as 2024-03-01T12:00 or seconds"
            " since 1970; without --time the rows count as being in order",
            field=f"--time {name}",
        )
    scale = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}[unit]
    moments = np.full(len(numbers), np.datetime64("NaT", "us"))
    known = np.isfinite(numbers)
    moments[known] = np.round(numbers[known] * scale).astype("int64").astype("datetime64[us]")
    return pd.Series(moments, index=column.index)


def add_feature(features: Features, name: str, column: pd.Series[Any], start: int) -> None:
    """One column of the file as features, or among those left out with the reason.

    ``start``: the rows from which categories are learnt; later ones count as "other".
    """
    import pandas as pd

    column = _plain(column)
    if column.isna().all():
        features.skipped[name] = "all values are missing"
    elif pd.api.types.is_bool_dtype(column):
        features.add(name, column.to_numpy(dtype=float))
    elif pd.api.types.is_numeric_dtype(column):
        _add_number(features, name, column.to_numpy(dtype=float, na_value=np.nan))
    elif is_time(column):
        features.skipped[name] = "a further time"
    else:
        _add_text(features, name, column, start)


def _plain(column: pd.Series[Any]) -> pd.Series[Any]:
    """Categories as their values, durations as seconds, lists and other objects as text."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_timedelta64_dtype(column):
        seconds: pd.Series[Any] = column.dt.total_seconds()
        return seconds
    if pd.api.types.is_object_dtype(column):
        odd = column.map(lambda value: isinstance(value, (list, dict, tuple, np.ndarray, bytes)))
        return column.astype(str) if odd.any() else column
    return column


def _add_number(features: Features, name: str, values: Any) -> None:
    infinite = int(np.isinf(values).sum())
    if infinite:
        values = np.where(np.isinf(values), np.nan, values)
        features.notes.append(f"{name}: {infinite:,} infinite values count as missing")
    seen = values[~np.isnan(values)]
    if not len(seen) or bool(np.all(seen == seen[0])):
        features.skipped[name] = "always the same"
    elif _counts_rows(values):
        features.skipped[name] = "counts the rows"
    else:
        features.add(name, values)


def _counts_rows(values: Any) -> bool:
    """A row number or a running identifier: whole, and each larger than the one before."""
    if np.isnan(values).any():
        return False
    steps = np.diff(values)
    return bool((steps > 0).all() and np.all(values == np.floor(values)) and np.ptp(steps) <= 1)


def _add_text(features: Features, name: str, column: pd.Series[Any], start: int) -> None:
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    present = int(column.notna().sum())
    texts = present - int(numbers.notna().sum())
    if texts <= 0.05 * present:
        if texts:
            features.notes.append(f"{name}: {texts:,} texts among numbers count as missing")
        _add_number(features, name, numbers.to_numpy(dtype=float))
        return
    words = column.astype(str).where(column.notna())
    distinct = words.nunique()
    if distinct == 1:
        features.skipped[name] = "always the same"
    elif distinct > MOST_CATEGORIES and distinct >= _IS_ID * present:
        features.skipped[name] = f"an identifier: {distinct:,} different values"
    else:
        _add_category(features, name, words, start, distinct)


def _add_category(
    features: Features, name: str, words: pd.Series[Any], start: int, distinct: int
) -> None:
    """Categories of the starting rows by frequency; all others are one."""
    common = words.iloc[:start].value_counts().index[: MOST_CATEGORIES - 1]
    codes = {word: float(code) for code, word in enumerate(common)}
    values = words.map(codes).to_numpy(dtype=float)
    other = words.notna().to_numpy() & np.isnan(values)
    values = np.where(other, float(len(codes)), values)
    if other.any():
        share = math.ceil(100 * other.mean())
        features.notes.append(
            f"{name}: {distinct - len(codes):,} of {distinct:,} categories are rare or new and"
            f" count as one ({share} % of the rows)"
        )
    features.add(name, values, is_category=True)
