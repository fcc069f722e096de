"""The limits that a window of rows is held to, and the faults that break them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from tools.values import Value


class FaultKind(StrEnum):
    """What is wrong with a window; the first rows are about rows and columns, the last feeds."""

    ROW_COUNT = "row_count"
    MISSING_COLUMN = "missing_column"
    EXTRA_COLUMN = "extra_column"
    FORBIDDEN_COLUMN = "forbidden_column"
    TYPE = "type"
    NULLS = "nulls"
    ALL_NULL = "all_null"
    RANGE = "range"
    UNSEEN_CATEGORY = "unseen_category"
    LABEL_RATE = "label_rate"
    AGE = "age"
    UNIT_CHANGE = "unit_change"
    STALE = "stale"
    SILENT = "silent"
    """A feed delivers nothing at all."""


class ValidationRules(Value):
    """Limits of one window."""

    min_rows: int = Field(default=1, ge=0)
    """Training data needs more (``spec.data.minRows``); a window of traffic may be small."""
    max_null_rate: float = Field(default=0.05, ge=0, le=1)
    """Per column that is not nullable."""
    max_outside_rate: float = Field(default=0.02, ge=0, le=1)
    """Share of a column's values outside its declared range; single slips happen upstream."""
    max_unseen_rate: float = Field(default=0.05, ge=0, le=1)
    """Share of a column's rows in categories that the reference never saw."""
    label: str = "label"
    min_label_rate: float | None = Field(default=None, ge=0, le=1)
    """Checked only when given: labels of fresh rows are not known yet."""
    max_age_hours: float | None = Field(default=None, gt=0)
    """Checked only when given, with ``as_of``: how old the newest row may be."""
    min_feed_rows: int = Field(default=8, ge=1)
    """Rows of a series below which its feed is not judged on that series."""
    known_columns: tuple[str, ...] = ()
    """Further columns that may stand in the frame, for example identifiers."""


class WindowFault(Value):
    """One thing wrong with the window, with the columns it concerns."""

    kind: FaultKind
    columns: tuple[str, ...]
    reason: str
