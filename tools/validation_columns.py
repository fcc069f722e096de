"""Checks the columns of a window against the schema: types, nulls, ranges, units, categories."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tools.schema import Column, ColumnType, FeatureSchema
from tools.statistics.profile import Profile
from tools.validation_rules import FaultKind, ValidationRules, WindowFault
from tools.values import Value


class ColumnReport(Value):
    """Figures of one column; rates are shares of the window's rows."""

    column: str
    null_rate: float
    outside_rate: float
    """Share of the values that are outside the declared range or infinite."""
    unseen_rate: float
    """Share of rows in categories that the reference never saw (0 without a reference)."""


def check_columns(
    frame: pd.DataFrame, schema: FeatureSchema, rules: ValidationRules, reference: Profile | None
) -> tuple[tuple[ColumnReport, ...], tuple[WindowFault, ...]]:
    """Reports of the schema's columns that are present, and what is wrong with them."""
    reports: list[ColumnReport] = []
    faults: list[WindowFault] = []
    for column in schema.columns:
        if column.name not in frame.columns or not len(frame):
            continue
        report, wrong = _check(frame[column.name], column, rules, reference)
        reports.append(report)
        faults += [
            WindowFault(kind=kind, columns=(column.name,), reason=f"{column.name}: {says}")
            for kind, says in wrong
        ]
    return tuple(reports), tuple(faults)


def _check(
    values: pd.Series, column: Column, rules: ValidationRules, reference: Profile | None
) -> tuple[ColumnReport, list[tuple[FaultKind, str]]]:
    wrong = _null_faults(values, column, rules)
    outside, unseen = 0.0, 0.0
    if column.type is ColumnType.NUMBER:
        numbers = _as_numbers(values)
        foreign = values.notna() & numbers.isna()
        if foreign.any():
            wrong.append((FaultKind.TYPE, _says_type(values[foreign], "number", len(values))))
        outside = _outside_rate(numbers, column)
        if outside > rules.max_outside_rate:
            wrong.append((FaultKind.RANGE, _says_range(numbers, column, outside)))
    else:
        foreign = values.notna() & ~values.map(lambda v: isinstance(v, str)).astype(bool)
        if foreign.any():
            wrong.append((FaultKind.TYPE, _says_type(values[foreign], "category", len(values))))
        unseen = _unseen_rate(values, column.name, reference)
        if unseen > rules.max_unseen_rate:
            says = f"{unseen:.1%} of the rows are in categories that the reference never saw"
            wrong.append((FaultKind.UNSEEN_CATEGORY, says))
    rate = float(values.isna().mean())
    report = ColumnReport(
        column=column.name, null_rate=rate, outside_rate=outside, unseen_rate=unseen
    )
    return report, wrong


def _null_faults(
    values: pd.Series, column: Column, rules: ValidationRules
) -> list[tuple[FaultKind, str]]:
    rate = float(values.isna().mean())
    if rate == 1.0 and column.feed is None:
        return [(FaultKind.ALL_NULL, f"all {len(values)} values are missing")]
    if not column.nullable and rate > rules.max_null_rate:
        says = f"{rate:.1%} of the values are missing, at most {rules.max_null_rate:.1%} may be"
        return [(FaultKind.NULLS, says)]
    return []


def _as_numbers(values: pd.Series) -> pd.Series:
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        # Text that happens to read as a number is still the wrong type.
        is_number = values.map(lambda v: isinstance(v, (int, float)) and not isinstance(v, bool))
        return pd.to_numeric(values.where(is_number.astype(bool)), errors="coerce")
    return values.astype(float)


def _outside_rate(numbers: pd.Series, column: Column) -> float:
    known = numbers.dropna().to_numpy(dtype=float)
    if not len(known):
        return 0.0
    low = -np.inf if column.minimum is None else column.minimum
    high = np.inf if column.maximum is None else column.maximum
    return float(np.mean((known < low) | (known > high) | ~np.isfinite(known)))


def _says_range(numbers: pd.Series, column: Column, outside: float) -> str:
    low = "-inf" if column.minimum is None else f"{column.minimum:g}"
    high = "inf" if column.maximum is None else f"{column.maximum:g}"
    return (
        f"{outside:.1%} of the values lie outside {low} to {high} {column.unit}".rstrip()
        + f" (they reach from {numbers.min():g} to {numbers.max():g})"
    )


def _says_type(foreign: pd.Series, expected: str, rows: int) -> str:
    example = foreign.head(1).tolist()[0]
    return f"{len(foreign)} of {rows} values are not a {expected}, for example {example!r}"


def _unseen_rate(values: pd.Series, name: str, reference: Profile | None) -> float:
    if reference is None or name not in reference.categories:
        return 0.0
    column = reference.categories[name]
    if column.other:
        return 0.0  # the reference folded rare categories together: absence proves nothing
    return float((values.notna() & ~values.isin(list(column.counts))).mean())
