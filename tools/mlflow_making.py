"""Makes a version in MLflow: run, artifacts, and the version, which only then exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.mlflow_searches import quoted
from tools.registry import Registration
from tools.values import canonical_json, digest
from tools.version_document import VersionDocument

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.tracking import MlflowClient

RUN_KEY = "mendloop.run_key"
ARTIFACT_DIGEST = "mendloop.artifact_digest"
DATA_DIGEST = "mendloop.data_digest"
DOCUMENT_DIGEST = "mendloop.document_digest"
CODE_VERSION = "mendloop.code_version"
GATES = "mendloop.gates"
MODEL_FOLDER = "model"
DOCUMENT = "mendloop/version.json"
_MAX_PARAMETER = 6000  # MLflow's limit for the text of a parameter


def make_version(
    client: MlflowClient,
    experiment: str,
    registration: Registration,
    document: VersionDocument,
    key: str,
) -> MlflowVersion:
    """Run, artifacts, then the version: only the last makes it exist."""
    from mlflow.entities import Metric, Param, RunTag

    _give_up_leftovers(client, experiment, key)
    text = canonical_json(document.model_dump(mode="json"))
    tags = {
        RUN_KEY: key,
        ARTIFACT_DIGEST: document.artifact_digest,
        DATA_DIGEST: document.data_digest,
        CODE_VERSION: document.code_version,
        DOCUMENT_DIGEST: digest(document.model_dump(mode="json")),
        GATES: "passed" if document.gates_passed else "failed",
    }
    run = client.create_run(experiment, tags={RUN_KEY: key}, run_name=key)
    run_id = run.info.run_id
    client.log_batch(
        run_id,
        metrics=[
            Metric(name, value, run.info.start_time, 0) for name, value in document.metrics.items()
        ],
        params=[
            Param(name, str(value)[:_MAX_PARAMETER]) for name, value in document.parameters.items()
        ],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
    client.log_artifacts(run_id, str(registration.artifact), MODEL_FOLDER)
    if registration.attachments is not None:
        client.log_artifacts(run_id, str(registration.attachments), "mendloop")
    client.log_text(run_id, text, DOCUMENT)
    made = client.create_model_version(
        registration.model,
        source=f"{run.info.artifact_uri}/{MODEL_FOLDER}",
        run_id=run_id,
        tags=tags,
        await_creation_for=0,
    )
    client.set_terminated(run_id)
    return made


def _give_up_leftovers(client: MlflowClient, experiment: str, key: str) -> None:
    """Runs of this key without a version stem from a process that died: mark them."""
    query = f"tags.`{RUN_KEY}` = '{quoted(key)}' and attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment], query):
        client.set_terminated(run.info.run_id, status="FAILED")
