"""``mendloop score`` and ``mendloop export onnx``, on a home with a real registry."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result

from infra.embedded.home import Home
from orchestrator.assembly import embedded_registry
from orchestrator.cli.main import cli
from pipelines.families import SPACES, Candidate, make_classifier
from pipelines.features import build_model
from pipelines.reference import build_reference
from simulations.training_rows import small_rows, small_spec
from tools import onnx_twin
from tools.artifact import load_model, load_predictor, save_artifact
from tools.edge_export import export_twin
from tools.errors import Invalid, Refused
from tools.model_inputs import model_frame
from tools.onnx_twin import MAX_DIFFERENCE, open_session, session_inputs
from tools.parquet_log import ParquetPredictionLog
from tools.registry import CHAMPION, GateResult, ModelVersion, Registration

SCHEMA = small_spec().schema_
ROWS = small_rows(1_200)


class Installed:
    """A home whose registry has one champion, and the model's document."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home").prepare()
        self.artifact, self.folder = folder / "artifact", folder
        point = Candidate(
            family="logistic_regression",
            parameters={k: v[0] for k, v in SPACES["logistic_regression"].items()},
        )
        inputs = model_frame(ROWS, SCHEMA)
        classifier = make_classifier(point, seed=0)
        model = build_model(SCHEMA, inputs, classifier, scale=point.scales_numbers, model_step="")
        model.fit(inputs, ROWS["late"])
        digest = save_artifact(model, SCHEMA, ROWS.head(100), self.artifact)
        scores = model.predict_proba(inputs)[:, 1]
        self.reference = build_reference(ROWS, scores, ROWS["late"].to_numpy(), SCHEMA)
        self.registry = embedded_registry(self.home)
        self.version = self.register("first")
        assert self.version.artifact_digest == digest
        self.registry.set_alias("parcels", CHAMPION, self.version.version, key="k")
        self.document = folder / "parcels.yaml"
        spec = small_spec().model_dump(mode="json", by_alias=True, exclude_defaults=True)
        self.document.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "mendloop.dev/v1alpha1",
                    "kind": "ManagedModel",
                    "metadata": {"name": "parcels"},
                    "spec": spec,
                }
            )
        )
        self.rows = folder / "rows.parquet"
        small_rows(300, seed=9).to_parquet(self.rows, index=False)

    def register(self, key: str, *, gates: tuple[GateResult, ...] = ()) -> ModelVersion:
        """A version of the same artifact."""
        registration = Registration(
            model="parcels",
            artifact=self.artifact,
            data_digest="d" * 64,
            code_version="abc",
            gates=gates,
            metrics={},
            parameters={},
            reference=self.reference,
        )
        return self.registry.register(registration, key=key)

    def call(self, *arguments: str) -> Result:
        return CliRunner().invoke(
            cli, [*arguments, "--home", str(self.home.root)], standalone_mode=False
        )

    def score(self, *arguments: str) -> Result:
        return self.call("score", str(self.document), "--input", str(self.rows), *arguments)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """One for all tests: a database of MLflow takes seconds to make."""
    return Installed(tmp_path_factory.mktemp("installed"))


def test_the_champion_scores_a_file_and_it_is_logged_once(
    installed: Installed, tmp_path: Path
) -> None:
    """Twice the same command: the same bytes, one row of the log for each of the file."""
    output = tmp_path / "scored.parquet"
    first = installed.score("--output", str(output), "--log", "--json")
    content = output.read_bytes()
    again = installed.score("--output", str(output), "--log", "--json", "--chunk-rows", "1")
    log = ParquetPredictionLog(installed.home.predictions, installed.home.labels)
    start, end = datetime.fromisoformat("2013-01-01"), datetime.fromisoformat("2014-01-01")
    logged = log.predictions("default/parcels", start=start, end=end)
    told = json.loads(first.stdout)

    assert json.loads(again.stdout) == told
    assert output.read_bytes() == content
    assert told["version"] == installed.version.version
    assert told["artifact_digest"] == installed.version.artifact_digest
    assert told["rows"] == told["logged"] == len(logged) == 300
    assert set(logged["request_id"]) == set(pd.read_parquet(output)["request_id"])


def test_a_dry_run_says_what_a_run_would_and_writes_nothing(
    installed: Installed, tmp_path: Path
) -> None:
    """Every row is checked; there is no output and no new part of the log."""
    before = sorted(installed.home.predictions.rglob("*"))
    done = installed.score("--output", str(tmp_path / "x.csv"), "--dry-run", "--log")

    assert "300 rows would be scored by version 1 of parcels" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert sorted(installed.home.predictions.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected --output FILE, or --dry-run"),
        (["--output", "scored.json"], "unknown format"),
        (["--output", "x.csv", "--version", "99"], "99"),
        (["--output", "x.csv", "--mask", "rain"], "the model has no column rain"),
    ],
)
def test_what_cannot_be_done_is_said(
    installed: Installed, arguments: list[str], message: str
) -> None:
    """Before anything is written."""
    found = installed.score(*arguments).exception

    assert isinstance(found, Invalid)
    assert message in str(found)


def test_an_artifact_that_was_changed_is_refused(installed: Installed, tmp_path: Path) -> None:
    """A copy of the registered artifact that is not it any more scores nothing."""
    other = Installed(tmp_path)
    [pickled] = other.home.mlflow.rglob("model.pkl")
    pickled.write_bytes(pickled.read_bytes() + b"\0")
    found = other.score("--output", str(tmp_path / "x.csv"))

    assert isinstance(found.exception, Refused)
    assert not (tmp_path / "x.csv").exists()


def test_exit_codes_are_those_of_every_command(installed: Installed, tmp_path: Path) -> None:
    """2 for a wrong input, told in a line and without a trace."""
    bad = tmp_path / "bad.csv"
    small_rows(20).drop(columns="weight").to_csv(bad, index=False)
    command = [sys.executable, "-c", "from orchestrator.cli.main import main; main()", "score"]
    done = subprocess.run(
        [
            *command,
            *(str(installed.document), "--input", str(bad), "--output", str(tmp_path / "x.csv")),
            *("--home", str(installed.home.root)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 2, done.stderr
    assert "has no column weight" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_exported_twin_answers_like_the_registered_model(
    installed: Installed, tmp_path: Path
) -> None:
    """Loaded from the export alone; the difference that is told is one that was measured."""
    output = tmp_path / "edge"
    done = installed.call(
        *("export", "onnx", str(installed.document), "--output", str(output)),
        *("--rows", str(installed.rows), "--json"),
    )
    told = json.loads(done.stdout)
    rows = pd.read_parquet(installed.rows)
    inputs = model_frame(rows, SCHEMA)
    feed = session_inputs(
        SCHEMA,
        inputs[["weight", "wind", "hour", "weekday"]].to_numpy(np.float32)
        if "hour" in inputs
        else inputs.select_dtypes("float32").to_numpy(np.float32),
        inputs[["place"]].to_numpy(object),
    )
    session = open_session((output / "model.onnx").read_bytes())
    answers = session.run(["probabilities"], feed)[0][:, 1]
    expected = load_model(installed.artifact).predict_proba(inputs)[:, 1]

    assert sorted(each.name for each in output.iterdir()) == [
        "model.onnx",
        "parity.json",
        "schema.json",
    ]
    assert json.loads((output / "parity.json").read_text()) == told
    assert told["rows"] > 2_000 + len(rows)
    assert np.abs(answers - expected).max() <= told["max_difference"] <= MAX_DIFFERENCE
    again = installed.call("export", "onnx", str(installed.document), "--output", str(output))
    assert "exists already" in str(again.exception)


def test_a_twin_that_answers_otherwise_is_not_exported(
    installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared anew: neither parity.json nor the registry's word is enough."""

    class Off:
        """The registered model, a hundredth off."""

        def __init__(self, model: Any) -> None:
            self._model = model

        def predict_proba(self, inputs: pd.DataFrame) -> Any:
            return self._model.predict_proba(inputs) + 0.01

    monkeypatch.setattr("tools.edge_export.load_model", lambda folder: Off(load_model(folder)))
    with pytest.raises(Refused, match=r"not exported: probabilities differ by up to 0\.01"):
        export_twin(installed.version, installed.artifact, tmp_path / "edge")

    assert list(tmp_path.iterdir()) == []


def test_a_version_without_a_twin_says_why(installed: Installed, tmp_path: Path) -> None:
    """In the words of the day it was made."""
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(installed.artifact, bare)
    (bare / onnx_twin.ONNX_FILE).unlink()
    (bare / onnx_twin.PARITY_FILE).write_text('{"reason": "no such step"}')
    with pytest.raises(Refused, match="has no ONNX twin: no such step"):
        export_twin(installed.version, bare, tmp_path / "edge")

    assert load_predictor(bare).predict([]) == []
