"""What a run in a cluster is given, and what it leaves, reaches further than one machine's disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from pipelines.steps.summarize import keep_report, summarize
from tests.stand_in.kubeflow_api import kubeflow_api
from tools.errors import Unavailable
from tools.kubeflow import Kubeflow
from tools.kubeflow_api import KubeflowApi
from tools.pipeline_runs import RunRequest
from tools.run_inputs import brought, within_reach

BUCKET = "memory://runs"


@pytest.fixture(autouse=True)
def bucket() -> Iterator[None]:
    """An object store in memory, empty before and after."""
    yield
    fsspec.filesystem("memory").rm("/", recursive=True)


def test_local_inputs_are_copied_and_named_anew(tmp_path: Path) -> None:
    """The pinned data and the champion; everything else is as it was."""
    data, champion = tmp_path / "pin.parquet", tmp_path / "champion"
    data.write_bytes(b"rows")
    (champion / "deep").mkdir(parents=True)
    (champion / "deep" / "model.onnx").write_bytes(b"model")
    given = {"data_uri": str(data), "champion_artifact": str(champion), "code_version": str(data)}
    found = within_reach(given, f"{BUCKET}/k/inputs")

    assert found["data_uri"] == f"{BUCKET}/k/inputs/data_uri/pin.parquet"
    assert found["code_version"] == str(data)
    there = brought(found["champion_artifact"], tmp_path / "brought")
    assert (there / "deep" / "model.onnx").read_bytes() == b"model"


def test_what_is_within_reach_already_stays_where_it_is(tmp_path: Path) -> None:
    """URLs, no champion, and folders of this machine where steps run on this machine."""
    given = {"data_uri": "s3://training/pin.parquet", "champion_artifact": ""}

    assert within_reach(given, f"{BUCKET}/k/inputs") == given
    assert brought(str(tmp_path), tmp_path / "elsewhere") == tmp_path


def test_a_copy_that_broke_off_is_made_anew(tmp_path: Path) -> None:
    """And a whole one is not made twice."""
    data = tmp_path / "pin.parquet"
    data.write_bytes(b"all of it")
    store = fsspec.filesystem("memory")
    store.pipe_file("/runs/i/data_uri/pin.parquet", b"all")
    within_reach({"data_uri": str(data)}, f"{BUCKET}/i")
    first = store.modified("/runs/i/data_uri/pin.parquet")
    within_reach({"data_uri": str(data)}, f"{BUCKET}/i")

    assert store.cat_file("/runs/i/data_uri/pin.parquet") == b"all of it"
    assert store.modified("/runs/i/data_uri/pin.parquet") == first


def test_a_store_that_takes_nothing_is_a_reason_to_wait(tmp_path: Path) -> None:
    """Nothing is submitted then; the caller tries again."""
    (tmp_path / "pin.parquet").write_bytes(b"rows")
    (tmp_path / "file").write_bytes(b"in the way")

    with pytest.raises(Unavailable, match="cannot copy"):
        within_reach({"data_uri": str(tmp_path / "pin.parquet")}, str(tmp_path / "file" / "k"))


def test_a_run_is_told_of_copies_and_objects_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubeflow's parameter `spec` is text: an object would be refused."""
    (tmp_path / "pin.parquet").write_bytes(b"rows")
    arguments = {
        "data_uri": str(tmp_path / "pin.parquet"),
        "data_digest": "0" * 64,
        "spec": {"model": "delays"},
        "tracking_uri": "http://mlflow",
        "artifact_root": "",
    }
    with kubeflow_api() as (url, known):
        pipelines = {"retrain": "pipelines.retrain:retrain"}
        runs = Kubeflow(KubeflowApi(url), pipelines, outputs_root=BUCKET)
        runs.submit(RunRequest(pipeline="retrain", arguments=arguments), key="k")
        told = known.run("k").runtime_config["parameters"]

    assert json.loads(told["spec"]) == {"model": "delays"}
    assert told["data_uri"].startswith(f"{BUCKET}/k-")
    assert told["output_dir"].startswith(f"{BUCKET}/k-")


def test_reports_of_steps_come_together_in_a_bucket(tmp_path: Path) -> None:
    """Steps run in pods that share no disk."""
    report = tmp_path / "gates.json"
    gate = {"name": "roc_auc", "value": 0.9, "limit": 0.8, "passed": True, "detail": ""}
    report.write_text(json.dumps([gate]))
    keep_report(report, f"{BUCKET}/k", "gates")
    summarize(f"{BUCKET}/k")

    assert json.loads(fsspec.filesystem("memory").cat_file("/runs/k/outputs.json"))["passed"]
