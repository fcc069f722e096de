"""The prediction log's writer: nothing accepted is lost, and nothing ever blocks a request."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from serving.log_writer import LogEntry, LogWriter
from tools.errors import Invalid
from tools.log_parts import feature_types, prediction_schema
from tools.parquet_log import ParquetPredictionLog
from tools.schema import Column, ColumnType, FeatureSchema

T0 = datetime.fromisoformat("2013-03-01")
TYPES = feature_types(
    FeatureSchema(
        time_column="departure",
        columns=(
            Column(name="temp", type=ColumnType.NUMBER, nullable=True),
            Column(name="carrier", type=ColumnType.CATEGORY),
        ),
    )
)


def entries(start: int, count: int) -> list[LogEntry]:
    return [
        LogEntry(
            f"r{n:05d}", T0 + timedelta(seconds=n), 0.5, (), T0, {"temp": None, "carrier": "UA"}
        )
        for n in range(start, start + count)
    ]


def writer(
    folder: Path, *, rows_per_part: int = 100, flush_s: float = 0.01, bound: int = 10_000
) -> LogWriter:
    return LogWriter(
        folder,
        prediction_schema(TYPES),
        version="3",
        rows_per_part=rows_per_part,
        flush_s=flush_s,
        bound=bound,
    )


def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


def logged(root: Path) -> list[str]:
    log = ParquetPredictionLog(root, root.parent / "labels")
    end = T0 + timedelta(days=9)
    return list(log.predictions("default/flights", start=T0, end=end)["request_id"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "predictions"


def test_what_was_accepted_is_written_in_parts_and_read_back(root: Path) -> None:
    """Rows, values, the version and nothing else."""
    log = writer(root / "default/flights")
    log.start()
    log.append(entries(0, 250))
    log.append(entries(250, 5))

    status = log.close()

    assert (status.queued, status.written, status.lost, status.problem) == (0, 255, 0, "")
    assert logged(root) == [f"r{n:05d}" for n in range(255)]
    frame = ParquetPredictionLog(root, root).predictions(
        "default/flights", start=T0, end=T0 + timedelta(seconds=1)
    )
    assert frame["version"].tolist() == ["3"]
    assert frame["carrier"].tolist() == ["UA"]
    assert frame["temp"].isna().all()
    assert {path.suffix for path in (root / "default/flights").iterdir()} == {".parquet"}


def test_rows_reach_the_disk_without_being_asked(root: Path) -> None:
    """A row waits for the disk no longer than the flush interval."""
    log = writer(root / "default/flights")
    log.start()
    log.append(entries(0, 1))

    until(lambda: log.status().written == 1)

    assert logged(root) == ["r00000"]
    log.close()


def test_a_full_part_does_not_wait_for_the_clock(root: Path) -> None:
    """Under load parts are cut by rows."""
    log = writer(root / "default/flights", flush_s=3600)
    log.start()
    log.append(entries(0, 100))

    until(lambda: log.status().written == 100)

    log.close()


def test_while_the_disk_refuses_rows_wait_and_then_all_arrive(root: Path) -> None:
    """A folder that cannot be made stands for a full disk: same error, same path."""
    root.parent.mkdir(exist_ok=True)
    root.write_text("a file where the folder should be")
    log = writer(root / "default/flights")
    log.start()
    log.append(entries(0, 150))
    until(lambda: log.status().problem != "")
    waiting = log.status()
    root.unlink()
    until(lambda: log.status().written == 150)

    assert (waiting.queued, waiting.written, waiting.lost) == (150, 0, 0)
    assert "free space or fix its permissions" in waiting.problem
    assert log.status().problem == ""
    log.close()
    assert logged(root) == [f"r{n:05d}" for n in range(150)]


def test_beyond_its_bound_it_drops_and_counts_the_newest(root: Path) -> None:
    """Predictions go on; what is lost is known."""
    log = writer(root / "default/flights", bound=10)
    log.append(entries(0, 8))
    log.append(entries(8, 3))
    log.append(entries(11, 2))
    log.start()

    status = log.close()

    assert (status.written, status.lost) == (10, 3)
    assert logged(root)[-1] == "r00012"


def test_rows_that_cannot_be_written_at_the_end_are_reported(root: Path) -> None:
    """The caller learns how many are left, so that the exit code can say it."""
    root.write_text("in the way")
    log = writer(root / "default/flights")
    log.start()
    log.append(entries(0, 7))

    status = log.close(deadline_s=0.05)

    assert status.queued == 7
    assert "cannot write the log part" in status.problem


@pytest.mark.parametrize("name", ["version", "Request_ID", "label"])
def test_a_column_that_would_hide_one_of_the_logs_is_refused(name: str) -> None:
    """Query engines ignore case: ``Version`` would shadow ``version``."""
    columns = (Column(name=name, type=ColumnType.NUMBER),)

    with pytest.raises(Invalid, match=name):
        prediction_schema(feature_types(FeatureSchema(time_column="t", columns=columns)))
