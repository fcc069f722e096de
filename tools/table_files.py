"""Opens CSV and Parquet files as tables of the query engine, with errors that name the file.

Only what a profile needs is read: columns are numbers, categories, or of a kind that is not
compared (times, nested values).
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tools.errors import Invalid

if TYPE_CHECKING:
    import ibis.expr.types as ir

MEMORY_LIMIT = "1GB"
"""Of the query engine, which spills to disk beyond it."""
NULL_TEXTS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
"""What CSV files write for a missing value."""


class ColumnKind(StrEnum):
    """How a column can be compared."""

    NUMBER = "number"
    CATEGORY = "category"
    EMPTY = "empty"
    """All of its values are missing: it takes the kind that the other file gives it."""
    OTHER = "other"


class TableFile:
    """One opened file: its table, the kind of each column, and how many rows it has."""

    def __init__(self, path: Path, table: ir.Table, kinds: dict[str, ColumnKind], rows: int):
        self.path, self.table, self.kinds, self.rows = path, table, kinds, rows

    def typed(self, numbers: tuple[str, ...], categories: tuple[str, ...]) -> ir.Table:
        """Some columns, numbers as float64 and categories as text."""
        return self.table.select(
            **{name: self.table[name].cast("float64") for name in numbers},
            **{name: self.table[name].cast("string") for name in categories},
        )

    def sample(self, columns: tuple[str, ...], most: int) -> pd.DataFrame:
        """At most about ``most`` rows of some columns, spread over the file, always the same."""
        import ibis

        table = self.table.select(*columns)
        if self.rows > most:
            numbered = table.mutate(row_=ibis.row_number())
            share = int(most / self.rows * 1_000_000)
            keep = numbered.row_.hash().abs() % 1_000_000 < share
            table = numbered.filter(keep).drop("row_")
        frame: pd.DataFrame = table.to_pandas()
        return frame


class TableReader:
    """Opens files in one in-memory DuckDB; use as a context manager."""

    def __init__(self) -> None:
        import ibis

        self._connection: Any = ibis.duckdb.connect(memory_limit=MEMORY_LIMIT)

    def __enter__(self) -> TableReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.disconnect()

    def open(self, path: Path) -> TableFile:
        """Open one file; Invalid says what is wrong with it."""
        kind = _file_kind(path)
        import duckdb

        try:
            table = self._read(path, kind)
            rows = int(table.count().execute())
            if not rows:
                raise Invalid("has no rows", field=str(path))
            kinds = _column_kinds(table)
        except duckdb.Error as error:
            first = str(error).strip().splitlines()[0]
            raise Invalid(f"cannot be read as {kind}: {first}", field=str(path)) from error
        if all(kind is ColumnKind.EMPTY for kind in kinds.values()):
            raise Invalid("all values of all columns are missing", field=str(path))
        return TableFile(path, table, kinds, rows)

    def _read(self, path: Path, kind: str) -> ir.Table:
        # Globs in a file name would make DuckDB read other files than the one that was named.
        name = "".join(f"[{c}]" if c in "*?[" else c for c in str(path))
        if kind == "Parquet":
            return self._connection.read_parquet(name)
        return self._connection.read_csv(
            name, header=True, sample_size=-1, nullstr=list(NULL_TEXTS)
        )


def _file_kind(path: Path) -> str:
    if path.is_dir():
        raise Invalid("is a folder: name one CSV or Parquet file", field=str(path))
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise Invalid(f"cannot be opened: {error.strerror}", field=str(path)) from error
    if not start:
        raise Invalid("is empty (0 bytes)", field=str(path))
    suffixes = {s.lower() for s in path.suffixes}
    if suffixes & {".parquet", ".pq"} or start == b"PAR1":
        return "Parquet"
    if suffixes & {".csv", ".tsv", ".txt"}:
        return "CSV"
    raise Invalid("is neither .csv nor .parquet: convert it first", field=str(path))


def _column_kinds(table: ir.Table) -> dict[str, ColumnKind]:
    filled = table.aggregate(
        **{f"c{i}": table[name].count() for i, name in enumerate(table.columns)}
    )
    present = filled.execute().iloc[0]
    return {
        name: _kind(table[name].type()) if present[f"c{i}"] else ColumnKind.EMPTY
        for i, name in enumerate(table.columns)
    }


def _kind(dtype: Any) -> ColumnKind:
    if dtype.is_numeric() and not dtype.is_boolean():
        return ColumnKind.NUMBER
    if dtype.is_string() or dtype.is_boolean() or dtype.is_uuid():
        return ColumnKind.CATEGORY
    return ColumnKind.OTHER
