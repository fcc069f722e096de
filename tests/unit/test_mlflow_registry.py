"""What the registry on MLflow says when its database or server does not answer."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools.errors import Invalid, Refused, Unavailable
from tools.mlflow_registry import MlflowRegistry
from tools.registry import CHAMPION, GateResult, Registration

GATE = GateResult(name="log_loss maximum", value=0.4, limit=0.5, passed=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one registry and an artifact."""
    made = tmp_path_factory.mktemp("mlflow")
    (made / "model").mkdir()
    (made / "model" / "model.onnx").write_bytes(b"tree")
    (made / "plots").mkdir()
    (made / "plots" / "evaluation.png").write_bytes(b"png")
    return made


def at(folder: Path) -> MlflowRegistry:
    """The registry as every process opens it."""
    return MlflowRegistry(f"sqlite:///{folder}/mlflow.db?timeout=0.2", folder / "artifacts")


def registration(folder: Path, **changes: object) -> Registration:
    """A whole registration."""
    values: dict[str, object] = {
        "model": "flights",
        "artifact": folder / "model",
        "data_digest": "d" * 64,
        "code_version": "abc",
        "gates": (GATE,),
        "metrics": {"log_loss": 0.4},
        "parameters": {},
        "reference": {},
        "attachments": folder / "plots",
    }
    return Registration.model_validate(values | changes)


def test_a_locked_database_is_unavailable_and_works_again(folder: Path) -> None:
    """Nothing was changed meanwhile; the same call then succeeds."""
    registry = at(folder)
    made = registry.register(registration(folder), key="first")
    with sqlite3.connect(folder / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match="locked"):
            registry.set_alias("flights", CHAMPION, made.version, key="k")
        with pytest.raises(Unavailable, match="locked"):
            registry.register(registration(folder), key="second")
        other.execute("ROLLBACK")
    other.close()

    assert registry.by_alias("flights", CHAMPION) is None
    registry.set_alias("flights", CHAMPION, made.version, key="k")
    assert registry.get("flights", made.version).aliases == (CHAMPION,)
    assert registry.by_run("flights", "second") is None


def test_one_key_at_once_makes_one_version(folder: Path) -> None:
    """Several processes would each open it for themselves, as here."""
    with ThreadPoolExecutor(3) as pool:
        made = list(
            pool.map(lambda _: at(folder).register(registration(folder), key="race"), range(3))
        )

    assert len({version.version for version in made}) == 1


def test_a_crash_before_the_version_leaves_nothing_that_counts(folder: Path) -> None:
    """The run that was begun is marked as failed, and the retry makes the version."""
    from mlflow.tracking import MlflowClient

    registry = at(folder)
    registry.versions("flights")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("mendloop")
    assert experiment is not None
    tags = {"mendloop.run_key": "crashed"}
    half = client.create_run(experiment.experiment_id, tags=tags).info.run_id
    made = registry.register(registration(folder), key="crashed")

    assert registry.by_run("flights", "crashed") == made
    assert client.get_run(half).info.status == "FAILED"


def test_people_find_everything_in_mlflow(folder: Path) -> None:
    """Metrics, digests, gates and plots lie where MLflow's own pages show them."""
    from mlflow.tracking import MlflowClient

    made = at(folder).register(
        registration(folder, parameters={"family": "random_forest"}), key="shown"
    )
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    version = client.get_model_version("flights", made.version)
    run = client.get_run(version.run_id or "")
    files = {each.path for each in client.list_artifacts(run.info.run_id, "mendloop")}

    assert run.data.metrics == {"log_loss": 0.4}
    assert run.data.params == {"family": "random_forest"}
    assert run.info.status == "FINISHED"
    assert version.tags["mendloop.gates"] == "passed"
    assert version.tags["mendloop.artifact_digest"] == made.artifact_digest
    assert version.tags["mendloop.data_digest"] == "d" * 64
    assert version.tags["mendloop.code_version"] == "abc"
    assert files == {"mendloop/evaluation.png", "mendloop/version.json"}


def test_a_version_of_somebody_else_is_seen_but_not_trusted(folder: Path, tmp_path: Path) -> None:
    """It passed no gate here and there is nothing to check its files against."""
    from mlflow.tracking import MlflowClient

    registry = at(folder)
    registry.register(registration(folder), key="ours")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    foreign = client.create_model_version("flights", source=str(folder / "model"))
    seen = registry.get("flights", str(foreign.version))

    assert not seen.gates_passed
    assert seen.run_key == seen.artifact_digest == ""
    with pytest.raises(Refused, match="not registered by mendloop"):
        registry.fetch("flights", str(foreign.version), tmp_path)


def test_a_missing_artifact_is_refused(folder: Path, tmp_path: Path) -> None:
    """It will not come back by asking again."""
    registry = at(folder)
    (folder / "other").mkdir()
    (folder / "other" / "model.onnx").write_bytes(b"gone soon")
    made = registry.register(registration(folder, artifact=folder / "other"), key="gone")
    for path in folder.glob("artifacts/*/artifacts/model/model.onnx"):
        if path.read_bytes() == b"gone soon":
            path.unlink()
            path.parent.rmdir()

    with pytest.raises(Refused, match="is missing"):
        registry.fetch("flights", made.version, tmp_path)


def test_a_changed_document_is_refused(folder: Path) -> None:
    """Gates and reference cannot be edited unseen."""
    made = at(folder).register(registration(folder, code_version="edited"), key="edited")
    for path in folder.glob("artifacts/*/artifacts/mendloop/version.json"):
        path.write_text(path.read_text().replace('"code_version":"edited"', '"code_version":"x"'))

    with pytest.raises(Refused, match="was changed after it was registered"):
        at(folder).get("flights", made.version)


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """Within a bounded time."""
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
        MlflowRegistry("http://127.0.0.1:9", tmp_path).versions("flights")


def test_an_address_with_a_password_is_refused_without_telling_it(tmp_path: Path) -> None:
    """It would be handed on to every pipeline run."""
    registry = MlflowRegistry("http://user:secret@127.0.0.1:9", tmp_path)

    with pytest.raises(Invalid, match="read from") as caught:
        registry.versions("flights")
    assert "secret" not in str(caught.value)


def test_a_database_in_a_place_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    """The message names it."""
    (tmp_path / "file").write_text("")
    registry = MlflowRegistry(f"sqlite:///{tmp_path}/file/mlflow.db", tmp_path)

    with pytest.raises(Unavailable, match="file"):
        registry.versions("flights")


def test_names_that_searches_cannot_express_are_refused(folder: Path) -> None:
    """Instead of finding something else."""
    with pytest.raises(Invalid, match="quotation mark"):
        at(folder).by_run("flights", "it's")
