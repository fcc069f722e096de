"""The Parquet log among broken files, concurrent writers and vanishing parts."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tools.errors import Invalid, Unavailable
from tools.log_parts import append_labels, append_predictions
from tools.parquet_log import ParquetPredictionLog

TARGET = "default/flights"
T0 = datetime.fromisoformat("2013-03-01")
END = T0 + timedelta(days=365)


def rows(*names: str, **features: object) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "request_id": names,
            "event_time": pd.Series([T0] * len(names), dtype="datetime64[us]"),
            "version": "1",
            "probability": 0.5,
            "masked": [[]] * len(names),
            **features,
        }
    )


class Folders:
    """A log on disk, and its reader."""

    def __init__(self, root: Path) -> None:
        self.predictions = root / "predictions" / TARGET
        self.labels = root / "labels" / TARGET
        self.log = ParquetPredictionLog(root / "predictions", root / "labels")

    def ids(self) -> list[str]:
        return list(self.log.predictions(TARGET, start=T0, end=END)["request_id"])

    def reasons(self) -> dict[str, str]:
        return {part.path.name: part.reason for part in self.log.unreadable(TARGET)}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def test_a_bad_part_is_left_out_and_reported_and_the_rest_is_read(folders: Folders) -> None:
    """Truncated, empty, foreign or of another type: none of them blinds the reader."""
    good = append_predictions(folders.predictions, rows("a", "b", temp=[1.0, 2.0]))
    assert good is not None
    whole = good.read_bytes()
    (folders.predictions / "truncated.parquet").write_bytes(whole[: len(whole) // 2])
    (folders.predictions / "empty.parquet").write_bytes(b"")
    (folders.predictions / "text.parquet").write_bytes(b"not parquet at all")
    (folders.predictions / "folder.parquet").mkdir()
    pq.write_table(pa.table({"x": [1]}), folders.predictions / "foreign.parquet")
    append_predictions(folders.predictions, rows("c", temp=["cold"]))
    append_predictions(folders.predictions, rows("d", temp=[3.0]))

    found, reasons = folders.ids(), folders.reasons()

    assert found == ["a", "b", "d"]
    assert reasons["foreign.parquet"] == "column request_id is missing"
    assert sum("column temp is string, other parts say double" in r for r in reasons.values()) == 1
    assert {"truncated.parquet", "empty.parquet", "text.parquet"} <= reasons.keys()
    assert "folder.parquet" in reasons
    assert len(reasons) == 6


def test_a_part_that_is_mended_or_removed_is_no_longer_reported(folders: Folders) -> None:
    """Reports are of now."""
    append_predictions(folders.predictions, rows("a"))
    part = folders.predictions / "part.parquet"
    part.write_bytes(b"broken")
    other = folders.predictions / "other.parquet"
    other.write_bytes(b"broken too")
    assert len(folders.reasons()) == 2
    whole = append_predictions(folders.predictions / "elsewhere", rows("b"))
    assert whole is not None

    whole.replace(part)
    other.unlink()

    assert folders.ids() == ["a", "b"]
    assert folders.reasons() == {}


def test_a_bad_label_part_leaves_the_other_labels(folders: Folders) -> None:
    """Null ids and wrong types are not guessed at."""
    append_predictions(folders.predictions, rows("a"))
    append_labels(
        folders.labels,
        pd.DataFrame({"request_id": ["a"], "label": [1], "known_at": pd.to_datetime([T0])}),
    )
    known = pa.array([T0], pa.timestamp("us"))
    nameless = {"request_id": pa.array([None], pa.string()), "label": [1.0], "known_at": known}
    pq.write_table(pa.table(nameless), folders.labels / "nameless.parquet")
    wordy = {"request_id": ["a"], "label": ["late"], "known_at": known}
    pq.write_table(pa.table(wordy), folders.labels / "wordy.parquet")

    cohort = folders.log.cohort(TARGET, start=T0, end=END, as_of=END)

    assert cohort["label"].tolist() == [1.0]
    assert folders.reasons() == {
        "nameless.parquet": "column request_id has nulls",
        "wordy.parquet": "column label is string, not double",
    }


@pytest.mark.parametrize("name", ["Temp", "LABEL", "Version"])
def test_a_column_that_differs_only_by_case_makes_a_part_foreign(
    folders: Folders, name: str
) -> None:
    """Query engines ignore case: two such columns would be one."""
    part = append_predictions(folders.predictions, rows("a", temp=[1.0]))
    assert part is not None
    table = pq.read_table(part).rename_columns({"temp": name})
    pq.write_table(table, folders.predictions / "shouting.parquet")

    assert folders.ids() == ["a"]
    assert "differs only by case" in folders.reasons()["shouting.parquet"]


def test_files_that_are_not_parts_are_ignored(folders: Folders) -> None:
    """Unfinished parts above all: their rows come with the rename."""
    append_predictions(folders.predictions, rows("a"))
    (folders.predictions / ".next.parquet.tmp").write_bytes(b"PAR1")
    (folders.predictions / ".hidden.parquet").write_bytes(b"PAR1")
    (folders.predictions / "README").write_text("hello")

    assert folders.ids() == ["a"]
    assert folders.reasons() == {}


def test_a_part_that_vanishes_takes_its_rows_along(folders: Folders) -> None:
    """Somebody cleaned up or compacted: the folder is the truth, not what was read once."""
    first = append_predictions(folders.predictions, rows("a", temp=[1.0]))
    append_predictions(folders.predictions, rows("b", wind=[2.0]))
    assert first is not None
    assert folders.ids() == ["a", "b"]

    first.unlink()
    frame = folders.log.predictions(TARGET, start=T0, end=END)

    assert frame["request_id"].tolist() == ["b"]
    assert "temp" not in frame
    assert folders.log.extent(TARGET).rows == 1


def test_names_that_need_quoting_are_only_names(folders: Folders) -> None:
    """Columns are data: whatever they are called, they come back as they went in."""
    odd = {'a"b': [1.0], "select": ["x"], "naïve; DROP TABLE t": [2.0], "two words": [3.0]}
    append_predictions(folders.predictions, rows("a", **odd))

    frame = folders.log.cohort(TARGET, start=T0, end=END, as_of=END, columns=list(odd))

    assert frame[list(odd)].to_dict("list") == odd


def test_readers_see_whole_parts_while_writers_write(folders: Folders) -> None:
    """Every part has ten rows: any count that is no multiple of ten is a torn read."""
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        for part in range(15):
            names = [f"{writer}.{part}.{n}" for n in range(10)]
            append_predictions(folders.predictions, rows(*names))

    def read() -> None:
        try:
            while any(thread.is_alive() for thread in writers):
                assert folders.log.extent(TARGET).rows % 10 == 0
                assert len(folders.ids()) % 10 == 0
        except BaseException as error:
            failures.append(error)
            raise

    writers = [threading.Thread(target=write, args=(k,)) for k in range(3)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in (*writers, *readers):
        thread.join()

    assert failures == []
    assert len(set(folders.ids())) == folders.log.extent(TARGET).rows == 450


def test_two_targets_do_not_mix(folders: Folders, tmp_path: Path) -> None:
    """One reader serves many targets."""
    append_predictions(folders.predictions, rows("a", temp=[1.0]))
    append_predictions(tmp_path / "predictions" / "default/other", rows("b", temp=["warm"]))

    assert folders.ids() == ["a"]
    assert folders.log.predictions("default/other", start=T0, end=END)["temp"].tolist() == ["warm"]


@pytest.mark.parametrize("target", ["flights", "../../etc", "default/../x", "a/b/c", "", "A/b"])
def test_a_target_is_no_path(folders: Folders, target: str) -> None:
    """namespace/name and nothing else reaches the file system."""
    with pytest.raises(Invalid, match="namespace/name"):
        folders.log.extent(target)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"label": [0.5]}, "label"),
        ({"label": [None]}, "label"),
        ({"known_at": pd.to_datetime(["2013-03-01T00:00:00Z"])}, "known_at"),
        ({"known_at": ["2013-03-01"]}, "known_at"),
        ({"request_id": [None]}, "request_id"),
    ],
)
def test_labels_that_make_no_sense_are_refused(
    folders: Folders, change: dict[str, Any], field: str
) -> None:
    """Nothing is written then."""
    frame = pd.DataFrame({"request_id": ["a"], "label": [1.0], "known_at": pd.to_datetime([T0])})

    with pytest.raises(Invalid) as refused:
        append_labels(folders.labels, frame.assign(**change))
    with pytest.raises(Invalid, match="label"):
        append_labels(folders.labels, frame.drop(columns="label"))

    assert refused.value.field == field
    assert not folders.labels.exists()


def test_an_empty_append_makes_no_part(folders: Folders) -> None:
    """No rows, no file."""
    frame = pd.DataFrame({"request_id": [], "label": [], "known_at": pd.to_datetime([])})

    assert append_labels(folders.labels, frame) is None
    assert append_predictions(folders.predictions, rows()) is None
    assert not folders.labels.exists()


def test_a_disk_that_refuses_leaves_nothing_behind(folders: Folders, tmp_path: Path) -> None:
    """The caller is told to try again; no half part is there."""
    (tmp_path / "labels").write_text("in the way")
    frame = pd.DataFrame({"request_id": ["a"], "label": [1.0], "known_at": pd.to_datetime([T0])})

    with pytest.raises(Unavailable, match="cannot write the log part"):
        append_labels(folders.labels, frame)
