"""Artifacts: an MLflow folder, its ONNX twin, its digest, and the predictors that read it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from pipelines.families import SPACES, Candidate, make_classifier
from pipelines.features import build_model
from simulations.training_rows import small_rows, small_spec
from tools.artifact import (
    OnnxPredictor,
    SklearnPredictor,
    artifact_digest,
    load_model,
    load_predictor,
    save_artifact,
)
from tools.errors import Invalid
from tools.model_inputs import model_frame
from tools.schema import FeatureSchema
from tools.time_features import frame_features, input_names, row_features

SCHEMA = small_spec().schema_
ROWS = small_rows(1500)
STAND_INS = Path(__file__).parent.parent / "stand_in"


def fitted(family: str = "logistic_regression", *, model_step: str = "") -> Any:
    """A model of the small rows."""
    first = {name: values[0] for name, values in SPACES[family].items()}
    point = Candidate(family=family, parameters=first)
    inputs = model_frame(ROWS, SCHEMA)
    model = build_model(
        SCHEMA,
        inputs,
        make_classifier(point, seed=0),
        scale=point.scales_numbers,
        model_step=model_step,
    )
    with threadpool_limits(1):  # spinning threads are slow on cores shared with other tests
        return model.fit(inputs, ROWS["late"])


def as_requests(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as a server gets them: ISO times, None for missing."""
    plain = frame[["sent", *SCHEMA.names]].astype(object).where(frame.notna(), None)
    return [
        {**row, "sent": row["sent"].isoformat()}
        for row in plain.to_dict("records")
    ]  # fmt: skip


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved logistic regression."""
    folder = tmp_path_factory.mktemp("artifact") / "model"
    save_artifact(fitted(), SCHEMA, ROWS.head(300), folder)
    return folder


@pytest.mark.parametrize("family", sorted(SPACES))
def test_every_family_has_an_onnx_twin_with_the_same_answers(family: str, tmp_path: Path) -> None:
    """Also for rows with missing values and unseen categories."""
    model = fitted(family)
    save_artifact(model, SCHEMA, ROWS.head(300), tmp_path / "model")
    predictor = load_predictor(tmp_path / "model")
    odd = ROWS.head(4).assign(place=["mars", None, "north", ""], wind=[None, 1e6, None, -1.0])
    frame = pd.concat([ROWS.tail(200), odd.astype({"wind": float})], ignore_index=True)
    expected = model.predict_proba(model_frame(frame, SCHEMA))[:, 1]

    assert isinstance(predictor, OnnxPredictor)
    assert np.abs(np.array(predictor.predict(as_requests(frame))) - expected).max() < 1e-4
    assert np.abs(predictor.predict_frame(frame) - expected).max() < 1e-4
    parity = json.loads((tmp_path / "model" / "parity.json").read_text())
    assert parity["passed"] is True
    assert parity["rows"] == 303
    assert parity["max_difference"] < 1e-4


def test_the_fall_back_gives_the_same_answers(artifact: Path) -> None:
    """Both predictors read one schema and one model."""
    fall_back = SklearnPredictor(SCHEMA, artifact / "model.pkl")
    requests = as_requests(ROWS.tail(100))
    difference = np.array(fall_back.predict(requests)) - load_predictor(artifact).predict(requests)

    assert np.abs(difference).max() < 1e-4
    assert fall_back.predict([]) == load_predictor(artifact).predict([]) == []
    assert load_predictor(artifact).schema == SCHEMA


def test_a_model_without_onnx_form_is_served_by_the_fall_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A team's own step keeps working, and the folder says why there is no twin."""
    monkeypatch.syspath_prepend(str(STAND_INS))
    model = fitted(model_step="odd_steps:HalveWeights")
    save_artifact(model, SCHEMA, ROWS.head(100), tmp_path / "model")
    predictor = load_predictor(tmp_path / "model")
    parity = json.loads((tmp_path / "model" / "parity.json").read_text())

    assert isinstance(predictor, SklearnPredictor)
    assert not (tmp_path / "model" / "model.onnx").exists()
    assert parity["passed"] is False
    assert "HalveWeights" in parity["reason"]
    heavier = ROWS.tail(50)
    expected = model.predict_proba(model_frame(heavier, SCHEMA))[:, 1]
    assert predictor.predict(as_requests(heavier)) == pytest.approx(expected)


def test_a_twin_that_answers_differently_is_not_kept(tmp_path: Path) -> None:
    """The parity check looks at the model that was given, not at its parts' names."""
    model = fitted()
    save_artifact(Doubter(model), SCHEMA, ROWS.head(100), tmp_path / "model")
    parity = json.loads((tmp_path / "model" / "parity.json").read_text())

    assert parity["passed"] is False
    assert not (tmp_path / "model" / "model.onnx").exists()


class Doubter:
    """Wraps a pipeline and halves its confidence."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.steps = model.steps

    def predict_proba(self, inputs: Any) -> Any:
        return 0.25 + self.model.predict_proba(inputs) / 2


def test_mlflow_reads_the_folder_as_its_own(artifact: Path) -> None:
    """The signature names the model's inputs; pyfunc answers with probabilities."""
    import mlflow.pyfunc

    loaded = mlflow.pyfunc.load_model(str(artifact))
    inputs = model_frame(ROWS.head(5), SCHEMA)
    names = loaded.metadata.get_input_schema().input_names()
    probabilities = loaded.predict(inputs)

    assert names == ["weight", "wind", "sent__hour", "sent__weekday", "place"]
    assert probabilities == pytest.approx(load_model(artifact).predict_proba(inputs))


def test_the_onnx_predictor_imports_nothing_heavy(artifact: Path) -> None:
    """A server starts in a fraction of a second because of it."""
    program = (
        "import sys; from pathlib import Path; from tools.artifact import load_predictor\n"
        "predictor = load_predictor(Path(sys.argv[1]))\n"
        "row = dict(sent='2013-01-01T08:00:00', weight=3.0, wind=None, place='north')\n"
        "assert 0 < predictor.predict([row])[0] < 1\n"
        "heavy = {'pandas', 'sklearn', 'mlflow', 'scipy', 'skl2onnx'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program, str(artifact)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_the_digest_covers_names_and_contents(tmp_path: Path) -> None:
    """Renaming, moving or changing a file changes it; copying the folder does not."""
    one = tmp_path / "one"
    (one / "sub").mkdir(parents=True)
    (one / "a").write_text("x")
    (one / "sub" / "b").write_text("y")
    before = artifact_digest(one)
    copy = tmp_path / "copy"
    (copy / "sub").mkdir(parents=True)
    (copy / "sub" / "b").write_text("y")
    (copy / "a").write_text("x")

    assert artifact_digest(copy) == before
    (copy / "sub" / "b").rename(copy / "b")
    assert artifact_digest(copy) != before
    (one / "a").write_text("z")
    assert artifact_digest(one) != before
    with pytest.raises(Invalid, match="no artifact folder"):
        artifact_digest(tmp_path / "gone")


def test_a_broken_artifact_says_what_is_wrong(artifact: Path, tmp_path: Path) -> None:
    """Missing, truncated and foreign files all give an error that names the file."""
    with pytest.raises(Invalid, match="no model artifact"):
        load_predictor(tmp_path)
    for file, content, message in (
        ("model.onnx", b"junk", "not a loadable ONNX model"),
        ("schema.json", b"{}", "not a feature schema"),
    ):
        broken = tmp_path / file
        shutil.copytree(artifact, broken)
        (broken / file).write_bytes(content)
        with pytest.raises(Invalid, match=message):
            load_predictor(broken)
    half = tmp_path / "half"
    shutil.copytree(artifact, half)
    (half / "model.onnx").unlink()
    (half / "model.pkl").write_bytes((artifact / "model.pkl").read_bytes()[:100])
    with pytest.raises(Invalid, match="damaged"):
        load_predictor(half)


def test_an_artifact_is_written_once_and_whole(artifact: Path, tmp_path: Path) -> None:
    """Nothing is overwritten; a sample is needed to check the twin."""
    with pytest.raises(Invalid, match="exists already"):
        save_artifact(fitted(), SCHEMA, ROWS, artifact)
    with pytest.raises(Invalid, match="sample"):
        save_artifact(fitted(), SCHEMA, ROWS.head(0), tmp_path / "model")
    with pytest.raises(Invalid, match="weight"):
        save_artifact(fitted(), SCHEMA, ROWS.drop(columns="weight"), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


TIMED = FeatureSchema(
    time_column="at",
    time_features=("minute_of_day", "weekday", "hour", "month", "day_of_year"),
    columns=SCHEMA.columns,
)
EARLIEST, LATEST = (datetime.fromisoformat(f"{year}-01-01") for year in (1900, 2200))
MOMENTS = st.datetimes(min_value=EARLIEST, max_value=LATEST)
OFFSETS = st.integers(min_value=-14 * 60, max_value=14 * 60)


@given(st.lists(st.tuples(MOMENTS, OFFSETS), min_size=1, max_size=5))
def test_time_features_are_the_same_for_frames_and_rows(
    moments: list[tuple[datetime, int]],
) -> None:
    """Training and serving share one definition, offsets from UTC included."""
    texts = [
        at.replace(tzinfo=timezone(timedelta(minutes=offset))).isoformat() if offset else
        at.isoformat()
        for at, offset in moments
    ]  # fmt: skip
    from_frame = frame_features(pd.Series(texts, name="at"), TIMED)
    from_rows = row_features([{"at": text} for text in texts], TIMED)

    assert list(from_frame) == list(input_names(TIMED))
    assert [list(row) for row in zip(*from_frame.values(), strict=True)] == from_rows


@pytest.mark.parametrize("value", ["yesterday", 12, None, ""])
def test_a_malformed_time_names_its_column(value: Any) -> None:
    """For rows and for frames."""
    with pytest.raises(Invalid, match="at: expected an ISO 8601 time"):
        row_features([{"at": value}], TIMED)
    if isinstance(value, str) and value:
        with pytest.raises(Invalid, match="at: expected ISO 8601 times"):
            frame_features(pd.Series([value], name="at"), TIMED)
