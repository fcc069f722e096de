"""The real ``retrain`` pipeline: Kubeflow steps in processes, MLflow on SQLite, generated rows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.catalog import PIPELINES
from simulations.training_rows import small_rows, small_spec
from tools.artifact import load_predictor
from tools.data_files import Pin, file_digest, pin_table
from tools.kubeflow_local import KubeflowLocal
from tools.mlflow_registry import MlflowRegistry
from tools.pipeline_runs import RunPhase, RunRequest, RunState
from tools.registry import CHALLENGER, CHAMPION

DEADLINE_S = 240.0
ROWS = small_rows(3000)


@dataclass
class Plant:
    """Everything that runs need, in one folder."""

    folder: Path
    runs: KubeflowLocal
    registry: MlflowRegistry

    @classmethod
    def at(cls, folder: Path) -> Plant:
        return cls(
            folder=folder,
            runs=KubeflowLocal(folder / "runs", PIPELINES),
            registry=MlflowRegistry(f"sqlite:///{folder}/mlflow.db", folder / "mlflow"),
        )

    def submit(self, key: str, pin: Pin, **changes: Any) -> None:
        arguments = {
            "data_uri": pin.uri,
            "data_digest": pin.digest,
            "spec": small_spec().model_dump(mode="json", by_alias=True),
            "tracking_uri": f"sqlite:///{self.folder}/mlflow.db",
            "artifact_root": str(self.folder / "mlflow"),
            "code_version": "test",
        }
        request = RunRequest(pipeline="retrain", arguments=arguments | changes)
        self.runs.submit(request, key=key)

    def pin(self, frame: pd.DataFrame) -> Pin:
        return pin_table(frame, self.folder / "pins")

    def result(self, key: str) -> RunState:
        deadline = time.monotonic() + DEADLINE_S
        while (state := self.runs.read(key)).phase is RunPhase.RUNNING:
            assert time.monotonic() < deadline, f"still {state}"
            time.sleep(0.05)
        return state


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant with its first champion and the runs of all tests, which share two cores."""
    plant = Plant.at(tmp_path_factory.mktemp("plant"))
    pin = plant.pin(ROWS)
    plant.submit("leaking", plant.pin(ROWS.assign(arrived=1.0)))
    plant.submit("mismatch", pin.model_copy(update={"digest": "0" * 64}))
    whole = Path(pin.uri).read_bytes()
    truncated = plant.folder / "truncated.parquet"
    truncated.write_bytes(whole[: len(whole) // 2])
    half = Pin(uri=str(truncated), digest=file_digest(truncated), rows=0)
    plant.submit("truncated", half)
    plant.submit("first", pin, alias=CHAMPION)
    first = plant.result("first")
    assert first.phase is RunPhase.SUCCEEDED, first.reason
    yield plant
    for folder in (plant.folder / "runs").iterdir():
        plant.runs.cancel(folder.name)


def test_the_first_champion_is_made_by_the_same_pipeline(plant: Plant) -> None:
    """Every step ran; the version is traceable to data, code and run, and its artifact serves."""
    state = plant.result("first")
    version = plant.registry.by_alias("parcels", CHAMPION)

    assert state.steps_done == (
        "ingest", "validate", "features", "train", "evaluate", "gate", "register", "summarize",
    )  # fmt: skip
    assert version is not None
    assert version.version == state.outputs["version"]
    assert version.run_key == "first"
    assert version.data_digest == plant.pin(ROWS).digest
    assert version.gates_passed
    assert version.reference["log_loss"] == pytest.approx(version.metrics["log_loss"])
    assert version.reference["rows"] == version.metrics["rows"] > 300
    assert state.outputs["metrics"]["log_loss"] < state.outputs["baseline"]["log_loss"]
    assert state.outputs["search"]["artifact_digest"] == version.artifact_digest


def test_the_registered_artifact_answers_as_it_was_evaluated(plant: Plant, tmp_path: Path) -> None:
    """Fetched from the registry, it gives the held-out rows the evaluated loss."""
    version = plant.registry.by_alias("parcels", CHAMPION)
    assert version is not None
    predictor = load_predictor(plant.registry.fetch("parcels", version.version, tmp_path))
    held = ROWS[ROWS["sent"] >= ROWS["sent"].max() - pd.Timedelta(days=10)]
    rows = held.assign(sent=held["sent"].astype(str)).replace({float("nan"): None})
    probabilities = predictor.predict(rows.to_dict("records"))
    brier = sum((p - y) ** 2 for p, y in zip(probabilities, held["late"], strict=True)) / len(held)

    assert len(held) == version.metrics["rows"]
    assert brier == pytest.approx(version.metrics["brier"], abs=1e-5)


def test_a_challenger_is_judged_against_the_champion_on_the_same_rows(
    plant: Plant, tmp_path: Path
) -> None:
    """It gets its alias beside the champion's; a gate that it fails registers nothing."""
    champion = plant.registry.by_alias("parcels", CHAMPION)
    assert champion is not None
    folder = plant.registry.fetch("parcels", champion.version, tmp_path)
    against = {"champion_artifact": str(folder), "champion_digest": champion.artifact_digest}
    shifted = plant.pin(small_rows(3000, seed=1, shift=0.9))
    hopeless = small_spec(gates=[{"metric": "roc_auc", "minimum": 0.999}])
    plant.submit("better", shifted, **against)
    plant.submit("weak", shifted, spec=hopeless.model_dump(mode="json", by_alias=True), **against)
    better, weak = plant.result("better"), plant.result("weak")
    challenger = plant.registry.by_alias("parcels", CHALLENGER)

    assert better.phase is RunPhase.SUCCEEDED, better.reason
    assert challenger is not None
    assert challenger.run_key == "better"
    metrics, before = better.outputs["metrics"], better.outputs["champion_metrics"]
    assert metrics["rows"] == before["rows"]
    assert metrics["log_loss"] < before["log_loss"] - 0.05
    assert plant.registry.by_alias("parcels", CHAMPION) == champion

    assert weak.phase is RunPhase.SUCCEEDED, weak.reason
    assert weak.outputs["passed"] is False
    assert weak.outputs["version"] == ""
    assert weak.outputs["refused"][0].startswith("roc_auc minimum: 0.")
    assert "register" not in weak.steps_done
    assert plant.registry.by_run("parcels", "weak") is None


@pytest.mark.parametrize(
    ("key", "step", "reason"),
    [
        ("leaking", "validate", "arrived: known only after the event"),
        ("mismatch", "ingest", "it changed since it was pinned"),
        ("truncated", "ingest", "is a truncated Parquet file"),
    ],
)
def test_bad_data_stops_the_run_with_a_clear_reason(
    plant: Plant, key: str, step: str, reason: str
) -> None:
    """Nothing is registered, and the summary is written all the same."""
    state = plant.result(key)

    assert state.phase is RunPhase.FAILED
    assert state.step == step
    assert reason in state.reason
    assert state.outputs["version"] == ""
    assert "summarize" in state.steps_done
    assert plant.registry.by_run("parcels", key) is None


def test_every_file_of_a_run_lies_in_its_folder(plant: Plant) -> None:
    """Nothing is left in the working folder or in the system's folder of temporary files."""
    plant.result("first")
    request = json.loads((plant.folder / "runs" / "first" / "request.json").read_text())

    assert request["pipeline"] == "retrain"
    assert not Path("local_outputs").exists()
    assert any((plant.folder / "runs" / "first" / "kfp").iterdir())
