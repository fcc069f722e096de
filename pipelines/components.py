"""The Kubeflow components: thin shells around ``pipelines/steps``, each its own process.

Kubeflow ships the source of these functions, so each imports what it needs inside. They install
nothing: the image (on one machine, the environment) has mendloop in it.
"""

# No `from __future__ import annotations` here: Kubeflow reads the annotations as types.

from collections.abc import Callable
from typing import Any

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

IMAGE = "mendloop-pipeline:0.1.0"
"""As infra/docker names it; a cluster's own name is `pipelines.kubeflow.image` of the Platform."""

_component: Callable[[Callable[..., Any]], Callable[..., Any]] = dsl.component(
    base_image=IMAGE, install_kfp_package=False
)


@_component
def ingest(
    uri: str,
    digest: str,
    spec: str,
    output_dir: str,
    rows: Output[Dataset],
    report: Output[Artifact],
) -> None:
    """Take the pinned training data, refusing any other content."""
    from pipelines import entry

    entry.ingest(uri, digest, spec, output_dir, rows.path, report.path)


@_component
def validate(rows: Input[Dataset], spec: str, output_dir: str, report: Output[Artifact]) -> None:
    """Refuse data that no model should be fitted on."""
    from pipelines import entry

    entry.validate(rows.path, spec, output_dir, report.path)


@_component
def check_data(uri: str, spec: str) -> None:
    """Say whether the data, as it is now, would be trained on."""
    from pipelines import entry

    entry.check_data(uri, spec)


@_component
def features(
    rows: Input[Dataset],
    spec: str,
    output_dir: str,
    inputs: Output[Dataset],
    plan: Output[Artifact],
) -> None:
    """Make the model's inputs and the time-ordered split."""
    from pipelines import entry

    entry.features(rows.path, spec, output_dir, inputs.path, plan.path)


@_component
def train(
    rows: Input[Dataset],
    inputs: Input[Dataset],
    plan: Input[Artifact],
    spec: str,
    output_dir: str,
    model_step: str,
    seed: int,
    changed_at: str,
    artifact: Output[Model],
    report: Output[Artifact],
) -> None:
    """Search a few candidates, then fit the best on all rows before the hold-out."""
    from pipelines import entry

    sources = {"rows": rows.path, "inputs": inputs.path, "plan": plan.path}
    entry.train(
        sources, spec, output_dir, artifact.path, report.path, model_step=model_step, seed=seed,
        changed_at=changed_at,
    )  # fmt: skip


@_component
def evaluate(
    rows: Input[Dataset],
    plan: Input[Artifact],
    artifact: Input[Model],
    spec: str,
    output_dir: str,
    champion_artifact: str,
    champion_digest: str,
    scored: Output[Dataset],
    report: Output[Artifact],
) -> None:
    """Score the held-out rows with challenger and champion."""
    from pipelines import entry

    entry.evaluate(
        rows.path, plan.path, artifact.path, spec, output_dir, scored.path, report.path,
        champion_artifact=champion_artifact, champion_digest=champion_digest,
    )  # fmt: skip


@_component
def gate(scored: Input[Dataset], spec: str, output_dir: str, report: Output[Artifact]) -> str:
    """Judge the quality gates; answers passed or failed."""
    from pipelines import entry

    return entry.gate(scored.path, spec, output_dir, report.path)


@_component
def register(
    artifact: Input[Model],
    scored: Input[Dataset],
    ingested: Input[Artifact],
    validated: Input[Artifact],
    plan: Input[Artifact],
    search: Input[Artifact],
    evaluated: Input[Artifact],
    gates: Input[Artifact],
    spec: str,
    tracking_uri: str,
    artifact_root: str,
    run_key: str,
    alias: str,
    code_version: str,
    output_dir: str,
    report: Output[Artifact],
) -> None:
    """Make the artifact and the version, and give it its alias."""
    from pipelines import entry

    products = {
        "artifact": artifact.path, "scored": scored.path,
        "ingested": ingested.path, "validated": validated.path, "plan": plan.path,
        "search": search.path, "evaluated": evaluated.path, "gates": gates.path,
    }  # fmt: skip
    destination = {
        "tracking_uri": tracking_uri, "artifact_root": artifact_root, "run_key": run_key,
        "alias": alias, "code_version": code_version,
    }  # fmt: skip
    entry.register(products, spec, destination, output_dir, report.path)


@_component
def summarize(output_dir: str) -> None:
    """Write one document of what the run came to, also when a step failed."""
    from pipelines import entry

    entry.summarize(output_dir)
