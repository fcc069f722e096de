"""Any file that people have is read, or refused with the reason and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulations.backtest.cli import backtest
from simulations.backtest.reading import Question, read_recording
from tools.errors import Invalid

ROWS = 300


def _file(tmp_path: Path, **columns: Any) -> str:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=ROWS), "y": rng.integers(0, 2, ROWS)})
    path = tmp_path / "rows.csv"
    frame.assign(**columns).to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize(
    ("columns", "label", "expected"),
    [
        ({}, "z", "--label z: .* no such column; it has x, y"),
        ({"y": 1}, "y", "--label y: is always 1: there is nothing to predict"),
        ({"y": [None] * ROWS}, "y", "0 rows have a label, at least 100"),
        ({"y": [f"id-{i}" for i in range(ROWS)]}, "y", "300 different values"),
        ({"x": [None] * ROWS}, "y", "no column is left .*x: all values are missing"),
        ({"y": [0] * 299 + [1]}, "y", "have one and the same label"),
    ],
)
def test_what_cannot_be_learnt_is_refused(
    tmp_path: Path, columns: dict[str, Any], label: str, expected: str
) -> None:
    """The message names the place, what was found and what was expected."""
    with pytest.raises(Invalid, match=expected):
        read_recording(Question(_file(tmp_path, **columns), label))


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    """Readers would rename the second one silently."""
    path = tmp_path / "rows.csv"
    path.write_text("a,a,y\n" + "1,2,0\n" * ROWS, encoding="utf-8")

    with pytest.raises(Invalid, match="named twice: a"):
        read_recording(Question(str(path), "y"))


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    """--time names a column of times; a delay in time needs one."""
    path = _file(tmp_path, when=["yesterday"] * ROWS)

    with pytest.raises(Invalid, match="--time when: 300 of 300 values are no times"):
        read_recording(Question(path, "y", time="when"))
    with pytest.raises(Invalid, match="--time x: holds numbers"):
        read_recording(Question(path, "y", time="x"))


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000])
def test_seconds_since_1970_are_a_time(tmp_path: Path, unit: int) -> None:
    """Loggers write numbers: the unit is told from their size."""
    seconds = 1_700_000_000 + 3600 * np.arange(ROWS)
    found = read_recording(Question(_file(tmp_path, at=seconds * unit), "y", time="at"))

    assert found.moment(0).isoformat() == "2023-11-14T22:13:20"
    assert found.moment(24).isoformat() == "2023-11-15T22:13:20"


def test_parquet_of_odd_types_is_read(tmp_path: Path) -> None:
    """Categories, durations, lists, decimals, nullable numbers and flags."""
    from decimal import Decimal

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "kind": pd.Categorical(rng.choice(["a", "b"], ROWS)),
            "took": pd.to_timedelta(rng.integers(1, 99, ROWS), unit="s"),
            "list": [[i % 3, 1] for i in range(ROWS)],
            "price": [Decimal(i % 9) for i in range(ROWS)],
            "count": pd.array([None, *rng.integers(0, 9, ROWS - 1)], dtype="Int64"),
            "flag": rng.random(ROWS) < 0.5,
            "y": pd.Categorical(rng.choice(["no", "yes"], ROWS)),
        }
    )
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    found = read_recording(Question(str(path), "y"))

    assert set(found.features) == {"kind", "took", "list", "price", "count", "flag"}
    assert found.classes == ("no", "yes")
    assert np.isnan(found.inputs[0, found.features.index("count")])


def test_odd_columns_are_handled_and_said(tmp_path: Path) -> None:
    """Infinity, texts among numbers, identifiers, row numbers, thousands of categories."""
    rng = np.random.default_rng(0)
    mixed = [str(i % 7) for i in range(ROWS)]
    mixed[5] = "n.a."
    path = _file(
        tmp_path,
        far=np.where(np.arange(ROWS) == 3, np.inf, rng.normal(size=ROWS)),
        mixed=mixed,
        number=np.arange(ROWS) + 1000,
        key=[f"k{i}" for i in range(ROWS)],
        same=1,
        place=[f"p{i}" for i in rng.integers(0, 150, ROWS)],
    )
    found = read_recording(Question(path, "y"))
    notes = " | ".join(found.notes)

    assert found.features == ("x", "far", "mixed", "place")
    assert found.is_category == (False, False, False, True)
    assert np.isfinite(found.inputs[:, 1]).sum() == ROWS - 1
    assert "far: 1 infinite" in notes
    assert "mixed: 1 texts" in notes
    assert "place:" in notes
    assert found.skipped == {
        "number": "counts the rows",
        "key": "an identifier: 300 different values",
        "same": "always the same",
    }


def test_rows_are_put_into_the_order_of_an_obvious_time(tmp_path: Path) -> None:
    """The only column of times is taken, said, and gives hour and day of the week."""
    times = pd.date_range("2024-01-01", periods=ROWS, freq="h")[::-1]
    x = np.arange(ROWS)[::-1] % 50
    found = read_recording(Question(_file(tmp_path, day=times.astype(str), x=x), "y"))

    assert found.time_column == "day"
    assert list(found.inputs[:3, found.features.index("x")]) == [0.0, 1.0, 2.0]
    assert any("order of day" in note for note in found.notes)


def test_a_delay_in_time_counts_by_the_clock(tmp_path: Path) -> None:
    """A label is known with the first row that arrives at or after its time plus the delay."""
    from datetime import timedelta

    times = pd.date_range("2024-01-01", periods=ROWS, freq="h").astype(str)
    path = _file(tmp_path, day=times)
    found = read_recording(Question(path, "y", delay=timedelta(hours=6)))

    assert found.known(6) == 0
    assert found.known(7) == 1
    assert found.known(ROWS) == ROWS - 6


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--label: expected the column"),
        (["--label", "y", "--label-delay", "soon"], "--label-delay: expected a duration"),
        (["--label", "y", "--label-delay-rows", "-1"], "--label-delay-rows: expected 0"),
        (["--label", "y", "--label-delay", "6h"], "needs a time column"),
        (["--label", "y", "--label-delay", "6h", "--label-delay-rows", "3"], "give either"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, arguments: list[str], expected: str) -> None:
    """No traceback: the option, and what it takes."""
    with pytest.raises(Invalid, match=expected):
        backtest.main([_file(tmp_path), *arguments], standalone_mode=False)
