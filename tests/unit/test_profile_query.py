"""The query engine counts what numpy counts, and other engines get the same query."""

from __future__ import annotations

from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest
from ibis.config import Config

from tools.profile_query import count_query, query_profile, reference_query_profile
from tools.statistics.profile import Profile, current_profile, reference_profile

NUMBERS, CATEGORIES = ("normal", "whole", "constant", "missing"), ("few", "many")


def _frame(seed: int, rows: int = 3000) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "normal": rng.normal(size=rows),
            "whole": rng.integers(0, 40, rows),
            "constant": np.full(rows, 3.0),
            "missing": np.full(rows, np.nan),
            "few": rng.choice(["a", "b", None], rows),
            "many": [f"id{i}" for i in rng.integers(0, 5000, rows)],
        }
    )
    frame.loc[:49, "normal"] = np.nan
    frame.loc[50:54, "normal"] = np.inf
    frame.loc[55:57, "normal"] = -np.inf
    frame.loc[58, "normal"] = 1e300
    return frame


def _table(frame: pd.DataFrame, folder: Path) -> ibis.Table:
    frame.to_parquet(folder / "t.parquet")
    return ibis.duckdb.connect().read_parquet(folder / "t.parquet")


def _same(first: Profile, second: Profile) -> None:
    assert first.rows == second.rows
    assert first.categories == second.categories
    for name, number in first.numbers.items():
        other = second.numbers[name]
        assert (number.counts, number.nulls, number.finite) == (
            other.counts,
            other.nulls,
            other.finite,
        )
        assert number.sum1 == pytest.approx(other.sum1, abs=1e-6)
        assert number.sum2 == pytest.approx(other.sum2, abs=1e-6)


def test_the_query_counts_what_numpy_counts(tmp_path: Path) -> None:
    """Nulls, NaN, infinities, ties, constants and folded categories included."""
    reference = reference_profile(_frame(0), numbers=NUMBERS, categories=CATEGORIES)
    frame = _frame(1)

    _same(query_profile(_table(frame, tmp_path), reference), current_profile(frame, reference))


def test_a_reference_made_by_queries_equals_one_made_in_memory(tmp_path: Path) -> None:
    """Up to the sample size, bins come from all rows."""
    frame = _frame(2)
    found = reference_query_profile(_table(frame, tmp_path), numbers=NUMBERS, categories=CATEGORIES)

    _same(found, reference_profile(frame, numbers=NUMBERS, categories=CATEGORIES))


class _SparkOptions(Config):  # type: ignore[misc]
    """What the PySpark backend registers when it is installed; the compiler reads it."""

    treat_nan_as_null: bool = False


@pytest.mark.parametrize("engine", ["postgres", "pyspark", "trino", "bigquery", "snowflake"])
def test_the_query_compiles_for_other_engines(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same expression, to one statement that names every column."""
    monkeypatch.setattr(ibis.options, "pyspark", _SparkOptions())
    frame = _frame(3)
    reference = reference_profile(frame, numbers=NUMBERS, categories=CATEGORIES)
    sql = str(ibis.to_sql(count_query(_table(frame, tmp_path), reference), dialect=engine))

    assert all(name in sql for name in (*NUMBERS, *CATEGORIES))
    assert sql.count("UNION") == len(NUMBERS) + len(CATEGORIES) - 1
    assert ";" not in sql
