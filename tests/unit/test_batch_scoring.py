"""Scored files: the server's answers to the last bit, whole or absent, logged once."""

from __future__ import annotations

import fcntl
import json
import math
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from pipelines.families import SPACES, Candidate, make_classifier
from pipelines.features import build_model
from serving.app import create_app
from serving.batch import ADDED, BatchScorer
from serving.batch_log import BatchLog
from serving.model import load_artifact
from serving.server import ModelServer, ServerSettings
from simulations.training_rows import small_rows, small_spec
from tools import table_stream
from tools.artifact import save_artifact
from tools.errors import Invalid, MendloopError, Unavailable
from tools.model_inputs import model_frame
from tools.schema import FeatureSchema

SCHEMA = small_spec().schema_
TARGET = "default/parcels"
ROWS = small_rows(1_500)


@pytest.fixture(scope="module", params=["hist_gradient_boosting", "logistic_regression"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of a tree's kind, one whose sums depend on the size of a call."""
    folder = tmp_path_factory.mktemp("artifact") / "model"
    point = Candidate(
        family=request.param,
        parameters={name: values[0] for name, values in SPACES[request.param].items()},
    )
    inputs = model_frame(ROWS, SCHEMA)
    classifier = make_classifier(point, seed=0)
    model = build_model(SCHEMA, inputs, classifier, scale=point.scales_numbers, model_step="")
    save_artifact(model.fit(inputs, ROWS["late"]), SCHEMA, ROWS.head(100), folder)
    return folder


class Stub:
    """Answers with a quarter for light parcels, else three."""

    schema: FeatureSchema = SCHEMA

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        return [0.25 if row["weight"] < 8 else 0.75 for row in rows]


STUB = BatchScorer(Stub(), "3")


def write(frame: pd.DataFrame, path: Path) -> str:
    """The rows as a file of the kind that its name says."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return str(path)


def answers(server: ModelServer, frame: pd.DataFrame) -> list[float]:
    """What the running server says to the same rows."""
    plain = frame[["sent", *SCHEMA.names]].astype(object).where(frame.notna(), None)
    rows = [row | {"sent": row["sent"].isoformat()} for row in plain.to_dict("records")]
    with TestClient(create_app(server)) as client:
        while client.get("/ready").status_code != 200:
            assert not server.failure
        found = client.post("/predict/batch", json={"rows": rows})
        assert found.status_code == 200, found.text
        return [each["probability"] for each in found.json()["predictions"]]


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz"])
def test_a_file_and_the_server_agree_to_the_last_bit(
    artifact: Path, kind: str, tmp_path: Path
) -> None:
    """Missing values and categories that training never saw included, whatever the chunks."""
    rows = small_rows(1_100, seed=5)
    rows.loc[:9, "place"] = "mars"
    source, output = write(rows, tmp_path / f"in.{kind}"), tmp_path / "out.parquet"
    settings = ServerSettings(target=TARGET, version="3", log=tmp_path / "log")
    server = ModelServer(settings, SCHEMA, lambda: load_artifact(artifact))
    expected = answers(server, rows)
    scorer = BatchScorer(load_artifact(artifact).predictor, "3")
    scorer.score(source, str(output), tmp_path, chunk_rows=512)
    found = pq.read_table(output)

    assert found.column("probability").to_pylist() == expected
    assert found.column("prediction").to_pylist() == [int(each >= 0.5) for each in expected]
    assert len(set(found.column("request_id").to_pylist())) == len(rows)


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz"])
def test_the_same_input_and_version_give_the_same_bytes(kind: str, tmp_path: Path) -> None:
    """Another version gives other ids: it is another answer."""
    source = write(small_rows(700), tmp_path / f"in.{kind}")
    first, second, other = (tmp_path / f"{name}.{kind}" for name in "abc")
    STUB.score(source, str(first), tmp_path)
    STUB.score(source, str(second), tmp_path)
    BatchScorer(Stub(), "4").score(source, str(other), tmp_path)

    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_columns_that_nobody_interprets_are_written_as_they_came(tmp_path: Path) -> None:
    """A code keeps its zeros, the label that is forbidden to the model stays with its row."""
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(
        "code,sent,weight,wind,place,arrived,note\n"
        '007,2013-01-01 05:15:00,9.50,NA,north,late,"two\nlines"\n'
        "008,2013-01-01T06:15:00Z,1,3.5,,,NA\n"
    )
    STUB.score(str(source), str(output), tmp_path)
    frame = pd.read_csv(output, dtype=str, keep_default_na=False)

    assert list(frame.columns[-4:]) == list(ADDED)
    assert frame["code"].tolist() == ["007", "008"]
    assert frame["weight"].tolist() == ["9.50", "1"]
    assert frame["note"].tolist() == ["two\nlines", "NA"]
    assert frame["prediction"].tolist() == ["1", "0"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": ["1"] * 599 + ["heavy"]}, r"row 600: weight: expected a finite number.*heavy"),
        ({"weight": ["1"] * 599 + [""]}, r"row 600: weight: expected a finite number"),
        ({"weight": ["inf"] * 600}, r"row 1: weight: expected a finite number"),
        (
            {"sent": ["2013-01-01 05:15:00"] * 599 + ["soon"]},
            r"row 600: sent: expected an ISO 8601 time",
        ),
        ({"prediction": [1] * 600}, "column prediction already"),
    ],
    ids=["text", "missing", "infinite", "time", "taken"],
)
def test_a_row_that_the_server_refuses_refuses_the_file(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """Named by row and column; no output, no log, nothing left over, the former output kept."""
    source = write(small_rows(600).assign(**change), tmp_path / "in.csv")
    output, log = tmp_path / "results" / "out.parquet", tmp_path / "log"
    output.parent.mkdir()
    output.write_text("yesterday's")
    with pytest.raises(Invalid, match=message):
        STUB.score(source, str(output), tmp_path, chunk_rows=256, log=_log(log))

    assert [each.name for each in output.parent.iterdir()] == ["out.parquet"]
    assert output.read_text() == "yesterday's"
    assert not log.exists()


@pytest.mark.parametrize("name", ["sent", "weight"])
def test_a_missing_column_is_named(name: str, tmp_path: Path) -> None:
    """With those that there are; one that may be missing may be left out."""
    whole = small_rows(20)
    source = write(whole.drop(columns=name), tmp_path / "in.parquet")
    with pytest.raises(Invalid, match=f"no column {name}, .* columns are .*wind"):
        STUB.score(source, None, tmp_path)

    fewer = write(whole.drop(columns=["wind", "place"]), tmp_path / "fewer.parquet")
    assert STUB.score(fewer, None, tmp_path).rows == 20


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"PAR1 torn", "not a readable"), (b"a,a\n1,2\n", "not a readable|same")],
)
def test_a_broken_file_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    """Whatever its name says."""
    for kind in ("parquet", "csv"):
        source = tmp_path / f"in.{kind}"
        source.write_bytes(content)
        with pytest.raises(MendloopError, match=str(source)):
            STUB.score(str(source), None, tmp_path)
    with pytest.raises(Invalid, match=r"cannot read .*gone\.csv: No such file"):
        STUB.score(str(tmp_path / "gone.csv"), None, tmp_path)


def test_an_output_without_a_place_is_refused(tmp_path: Path) -> None:
    """A folder of that name: nothing is left beside it."""
    source = write(small_rows(20), tmp_path / "in.csv")
    (tmp_path / "out" / "x.csv").mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"cannot write .*x\.csv"):
        STUB.score(source, str(tmp_path / "out" / "x.csv"), tmp_path)

    assert [each.name for each in (tmp_path / "out").iterdir()] == ["x.csv"]


def test_urls_are_read_and_written(tmp_path: Path) -> None:
    """What is at a URL is there whole, as a file would be."""
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/rows/today.csv", small_rows(300).to_csv(index=False).encode())
    found = STUB.score("memory://rows/today.csv", "memory://scored/today.parquet", tmp_path)
    with memory.open("/scored/today.parquet") as file:
        assert pq.read_table(file).num_rows == found.rows == 300


def _log(folder: Path, **options: Any) -> BatchLog:
    return BatchLog(folder / TARGET, TARGET, SCHEMA, **options)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_memory_does_not_grow_with_the_file(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times the rows, the same peak, of Python and of Arrow."""
    monkeypatch.setattr(table_stream, "_BLOCK_BYTES", 1 << 13)  # read ahead in both
    monkeypatch.setattr(table_stream, "_GROUP_ROWS", 1_500)
    peaks, usual = [], pa.default_memory_pool()
    for count in (4_000, 40_000):
        source = write(small_rows(count), tmp_path / f"{count}.{kind}")
        pool = pa.proxy_memory_pool(usual)
        pa.set_memory_pool(pool)
        tracemalloc.start()
        try:
            STUB.score(source, str(tmp_path / f"out.{kind}"), tmp_path, chunk_rows=1_024)
            peaks.append(tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0))
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(usual)

    assert peaks[1] < 1.5 * peaks[0]


def test_what_a_killed_run_left_is_removed_by_the_next_and_what_another_writes_is_not(
    tmp_path: Path,
) -> None:
    """kill -9 leaves a file beside the output, which nobody would look for."""
    source = write(small_rows(400), tmp_path / "in.csv")
    for pid in ("111", "222"):
        (tmp_path / f".out.csv.{pid}.new").write_text("half")
    (tmp_path / ".other.csv.111.new").write_text("of another output")
    with (tmp_path / ".out.csv.222.new").open("rb") as at_work:
        fcntl.flock(at_work, fcntl.LOCK_EX)
        STUB.score(source, str(tmp_path / "out.csv"), tmp_path)
    left = sorted(path.name for path in tmp_path.glob(".*"))

    assert left == [".other.csv.111.new", ".out.csv.222.new"]
    assert (tmp_path / "out.csv").is_file()


def test_what_is_reported_is_what_was_written(tmp_path: Path) -> None:
    """Counts and mean, and the digest of the input."""
    import hashlib

    source = write(small_rows(400), tmp_path / "in.parquet")
    found = STUB.score(source, str(tmp_path / "out.parquet"), tmp_path)
    written = pq.read_table(tmp_path / "out.parquet").to_pandas()

    assert found.positives == written["prediction"].sum()
    assert math.isclose(found.mean_probability, written["probability"].mean())
    assert found.input_digest == hashlib.sha256(Path(source).read_bytes()).hexdigest()
    assert json.loads(found.model_dump_json())["rows"] == 400
