"""Profiles tables where they live: one aggregation query, of which only counts travel.

The query is an Ibis expression: DuckDB runs it on Parquet and CSV files here, and the same
expression compiles for PostgreSQL, Spark, Trino, BigQuery and Snowflake. Every branch reads one
column and returns at most one row per bin, so memory does not grow with the table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.statistics.profile import (
    LARGEST_SUMMED,
    CategoryProfile,
    NumberProfile,
    Profile,
    count_categories,
    pivot_of,
    quantile_edges,
)

if TYPE_CHECKING:
    import ibis.expr.types as ir

SAMPLE_ROWS = 200_000
"""Rows of a large reference that its bin edges are taken from; all rows are counted."""
_FAN_OUT = 5
"""Branches per level of the search tree over the edges; fastest in DuckDB among 2 to 11."""
_NULL = -1


def reference_query_profile(
    table: ir.Table, *, numbers: tuple[str, ...], categories: tuple[str, ...]
) -> Profile:
    """Profile a reference table; bins come from all rows, or a sample of a large table."""
    import ibis

    rows = int(table.count().execute())
    sample = table
    if rows > SAMPLE_ROWS:
        numbered = table.mutate(row_=ibis.row_number())
        sample = numbered.filter(numbered.row_.hash() % (rows // SAMPLE_ROWS) == 0).drop("row_")
    frame = sample.select(*numbers, *categories).to_pandas()
    plan = Profile(
        rows=rows,
        numbers={name: _empty(frame[name].to_numpy(float, na_value=np.nan)) for name in numbers},
        categories={name: count_categories(frame[name]) for name in categories},
    )
    return query_profile(table, plan)


def _empty(values: np.ndarray[Any, np.dtype[np.float64]]) -> NumberProfile:
    edges = quantile_edges(values)
    counts = (0,) * (len(edges) + 1)
    return NumberProfile(edges=tuple(edges.tolist()), counts=counts, nulls=0, pivot=pivot_of(edges))


def query_profile(table: ir.Table, reference: Profile) -> Profile:
    """Profile a table into the bins of a reference, with the one query of ``count_query``."""
    answer = count_query(table, reference).execute()
    return read_counts(answer.itertuples(index=False), reference)


def count_query(table: ir.Table, reference: Profile) -> ir.Table:
    """The aggregation: one row per column and bin or category, with counts and sums.

    Columns of the answer: ``name``, ``bin`` (-1 for missing), ``category`` (of categories only),
    ``n``, ``finite``, ``sum1``, ``sum2``.
    """
    import ibis

    branches = [_number_branch(table, n, p) for n, p in reference.numbers.items()]
    branches += [_category_branch(table, n, p) for n, p in reference.categories.items()]
    return ibis.union(*branches) if len(branches) > 1 else branches[0]


def _number_branch(table: ir.Table, name: str, like: NumberProfile) -> ir.Table:
    import ibis

    kind = table[name].type()
    value = table[name].cast("float64")
    is_missing = value.isnull()
    if kind.is_floating():
        is_missing = is_missing | value.isnan()
    bin_ = ibis.ifelse(is_missing, _NULL, _bin(value, like.edges, 0, len(like.edges)))
    is_summed = value.between(-LARGEST_SUMMED, LARGEST_SUMMED) & ~is_missing
    centred = ibis.ifelse(is_summed, value - like.pivot, 0.0)
    rows = table.select(bin=bin_.cast("int32"), summed=is_summed.cast("int64"), centred=centred)
    return (
        rows.group_by("bin")
        .aggregate(
            n=rows.count(),
            finite=rows.summed.sum(),
            sum1=rows.centred.sum(),
            sum2=(rows.centred * rows.centred).sum(),
        )
        .select(
            name=ibis.literal(name),
            bin="bin",
            category=ibis.null("string"),
            n="n",
            finite="finite",
            sum1="sum1",
            sum2="sum2",
        )
    )


def _bin(value: ir.Value, edges: tuple[float, ...], low: int, high: int) -> Any:
    """Number of the bin between ``low`` and ``high``: a search tree of comparisons.

    The answer is the count of edges below the value, as in ``numpy.searchsorted``.
    """
    import ibis

    if low == high:
        return ibis.literal(low, type="int32")
    splits = sorted({low + (high - low) * i // _FAN_OUT for i in range(1, _FAN_OUT)} | {low})
    splits = [s for s in splits if s < high]
    branches, start = [], low
    for split in splits:
        branches.append((value <= edges[split], _bin(value, edges, start, split)))
        start = split + 1
    return ibis.cases(*branches, else_=_bin(value, edges, start, high))


def _category_branch(table: ir.Table, name: str, like: CategoryProfile) -> ir.Table:
    import ibis

    text = table[name].cast("string")
    known = list(like.counts)
    if like.other:
        # Many values: fold them before grouping, so that memory does not grow with their number.
        text = ibis.ifelse(text.isnull() | text.isin(known), text, ibis.literal(_OTHER))
    grouped = table.select(category=text).group_by("category").aggregate(n=lambda t: t.count())
    if not like.other:
        is_known = grouped.category.isnull() | grouped.category.isin(known or [_OTHER])
        folded = grouped.mutate(
            category=ibis.ifelse(is_known, grouped.category, ibis.literal(_OTHER))
        )
        grouped = folded.group_by("category").aggregate(n=folded.n.sum())
    return grouped.select(
        name=ibis.literal(name),
        bin=ibis.literal(0, type="int32"),
        category="category",
        n=grouped.n.cast("int64"),
        finite=ibis.literal(0, type="int64"),
        sum1=ibis.literal(0.0),
        sum2=ibis.literal(0.0),
    )


_OTHER = "\x1fother"
"""Stands for every category that the reference does not list; no such text occurs in data."""


def read_counts(rows: Iterable[Any], reference: Profile) -> Profile:
    """Turn the query's answer into a profile; bins without rows are missing in it."""
    by_name: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_name[row.name].append(row)
    numbers = {n: _read_number(by_name[n], like) for n, like in reference.numbers.items()}
    categories = {n: _read_category(by_name[n], like) for n, like in reference.categories.items()}
    everything: list[NumberProfile | CategoryProfile]
    everything = [*numbers.values(), *categories.values()]
    return Profile(
        rows=everything[0].rows if everything else 0, numbers=numbers, categories=categories
    )


def _read_number(rows: list[Any], like: NumberProfile) -> NumberProfile:
    counts = [0] * len(like.counts)
    nulls = 0
    for row in rows:
        if row.bin == _NULL:
            nulls = int(row.n)
        else:
            counts[row.bin] = int(row.n)
    return NumberProfile(
        edges=like.edges,
        counts=tuple(counts),
        nulls=nulls,
        pivot=like.pivot,
        finite=int(sum(row.finite for row in rows)),
        sum1=float(sum(row.sum1 for row in rows)),
        sum2=float(sum(row.sum2 for row in rows)),
    )


def _read_category(rows: list[Any], like: CategoryProfile) -> CategoryProfile:
    counts = dict.fromkeys(like.counts, 0)
    other = nulls = 0
    for row in rows:
        if row.category is None:
            nulls += int(row.n)
        elif row.category == _OTHER:
            other += int(row.n)
        else:
            counts[row.category] = int(row.n)
    return CategoryProfile(counts=counts, other=other, nulls=nulls)
