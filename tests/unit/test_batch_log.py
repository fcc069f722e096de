"""What scored files leave in the prediction log: each row once, in folders and in PostgreSQL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving import batch_log
from serving.batch import BatchScorer
from serving.batch_log import BatchLog
from simulations.training_rows import small_rows
from tests.unit.test_batch_scoring import SCHEMA, STUB, TARGET, Stub, write
from tools.database_log import DatabasePredictionLog
from tools.errors import Invalid
from tools.parquet_log import ParquetPredictionLog

START, END = datetime.fromisoformat("2013-01-01"), datetime.fromisoformat("2014-01-01")


def _log(folder: Path, **options: Any) -> BatchLog:
    return BatchLog(folder / TARGET, TARGET, SCHEMA, **options)


def test_what_is_logged_is_logged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed half way and run again with other chunks: every row once, under its output's id."""
    monkeypatch.setattr(batch_log, "PART_ROWS", 300)
    rows, output = small_rows(1_000), tmp_path / "out.parquet"
    source = write(rows, tmp_path / "in.parquet")
    torn = _log(tmp_path / "log")
    monkeypatch.setattr(torn, "close", lambda: None)  # the last part was never written
    STUB.score(source, str(output), tmp_path, chunk_rows=256, log=torn)
    assert torn.rows == 900
    STUB.score(source, str(output), tmp_path, chunk_rows=10_000, log=_log(tmp_path / "log"))
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / "log").rglob("*.parquet")}
    STUB.score(source, str(output), tmp_path, chunk_rows=512, log=_log(tmp_path / "log"))
    log = ParquetPredictionLog(tmp_path / "log", tmp_path / "labels")
    found = log.predictions(TARGET, start=START, end=END)

    assert parts == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "log").rglob("*.parquet")
    }
    assert sorted(found["request_id"]) == sorted(pq.read_table(output)["request_id"].to_pylist())
    raw = pa.concat_tables(pq.read_table(path) for path in parts)
    assert raw.num_rows == len(rows) == len(found)
    assert math.isclose(found["weight"].sum(), rows["weight"].sum())


def test_masked_columns_are_missing_to_the_model_alone(tmp_path: Path) -> None:
    """The log keeps what arrived, and says what was masked; the ids are other answers' ids."""

    class Seen(Stub):
        winds: set[Any] = set()

        def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
            self.winds |= {row["wind"] for row in rows}
            return super().predict(rows)

    source = write(small_rows(50), tmp_path / "in.parquet")
    masked = BatchScorer(Seen(), "3", masked=["wind"])
    masked.score(
        source, str(tmp_path / "m.csv"), tmp_path, log=_log(tmp_path / "log", masked=["wind"])
    )
    STUB.score(source, str(tmp_path / "p.csv"), tmp_path)
    log = ParquetPredictionLog(tmp_path / "log", tmp_path / "labels")
    found = log.predictions(TARGET, start=START, end=END)
    ids = [set(pd.read_csv(tmp_path / name)["request_id"]) for name in ("m.csv", "p.csv")]

    assert Seen.winds == {None}
    assert found["wind"].notna().any()
    assert not ids[0] & ids[1]
    with pytest.raises(Invalid, match="mask: the model has no column rain"):
        BatchScorer(Stub(), "3", masked=["rain"])


def test_a_database_gets_each_row_once(postgres_url: str, tmp_path: Path) -> None:
    """The same command twice; what is masked can be read back."""
    rows = small_rows(200)
    source, output = write(rows, tmp_path / "in.parquet"), tmp_path / "out.parquet"
    for _ in range(2):
        log = BatchLog(postgres_url, TARGET, SCHEMA, masked=["wind"])
        BatchScorer(Stub(), "3", masked=["wind"]).score(source, str(output), tmp_path, log=log)
    found = DatabasePredictionLog(postgres_url).predictions(TARGET, start=START, end=END)

    assert sorted(found["request_id"]) == sorted(pq.read_table(output)["request_id"].to_pylist())
    assert {tuple(each) for each in found["masked"]} == {("wind",)}
    assert math.isclose(found["weight"].sum(), rows["weight"].sum())
