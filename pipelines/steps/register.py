"""Step ``register``: the artifact that passed becomes a version in the registry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.plots import draw_evaluation
from pipelines.reference import build_reference
from pipelines.steps.evaluate import CHALLENGER, CHAMPION, LABEL, PREFIX
from tools.managed_model import ManagedModelSpec
from tools.mlflow_registry import MlflowRegistry
from tools.registry import GateResult, ModelVersion, Registration
from tools.values import Value

if TYPE_CHECKING:
    import pandas as pd


class Products(Value):
    """What the steps before left behind."""

    artifact: Path
    scored: Path
    ingested: Path
    validated: Path
    plan: Path
    search: Path
    evaluated: Path
    gates: Path


class Destination(Value):
    """Where the version goes and under which names."""

    tracking_uri: str
    artifact_root: str
    run_key: str
    alias: str
    code_version: str


def register(
    products: Products, spec: ManagedModelSpec, destination: Destination, work: Path, report: Path
) -> None:
    """Register the version, give it the alias, and write it to ``report`` (JSON).

    ``work`` is a folder of this run. Idempotent by ``run_key``: a retry gets the version made
    before and sets the alias again.
    """
    import pandas as pd

    work.mkdir(parents=True, exist_ok=True)
    scored = pd.read_parquet(products.scored)
    registry = MlflowRegistry(destination.tracking_uri, destination.artifact_root)
    made = registry.by_run(spec.model, destination.run_key)
    if made is None:
        registration = _registration(products, spec, destination, scored, work)
        made = registry.register(registration, key=destination.run_key)
    alias = _free_alias(registry, spec.model, destination, made)
    if alias:
        registry.set_alias(spec.model, alias, made.version, key=destination.run_key)
    report.write_text(json.dumps(_summary(made, alias)), encoding="utf-8")


def _free_alias(
    registry: MlflowRegistry, model: str, destination: Destination, made: ModelVersion
) -> str:
    """The alias, or nothing while somebody else's challenger has it: that one is decided first."""
    if destination.alias != CHALLENGER:
        return destination.alias
    holder = registry.by_alias(model, destination.alias)
    return destination.alias if holder is None or holder.version == made.version else ""


def _registration(
    products: Products,
    spec: ManagedModelSpec,
    destination: Destination,
    scored: pd.DataFrame,
    work: Path,
) -> Registration:
    search = _read(products.search)
    figures = _read(products.evaluated)["models"][CHALLENGER]
    gates = tuple(GateResult.model_validate(gate) for gate in _read(products.gates))
    labels = scored[PREFIX + LABEL].to_numpy()
    probabilities = scored[PREFIX + CHALLENGER].to_numpy()
    return Registration(
        model=spec.model,
        artifact=products.artifact,
        data_digest=_read(products.ingested)["digest"],
        code_version=destination.code_version,
        gates=gates,
        metrics=figures,
        parameters={"family": search["chosen"]["family"], **search["chosen"]["parameters"]}
        | {"seed": search["seed"], "fitted_rows": search["fitted_rows"]}
        | ({"model_step": search["model_step"]} if search["model_step"] else {}),
        reference=build_reference(
            scored,
            probabilities,
            labels,
            spec.schema_,
            window=spec.evidence.window,
            slices=spec.watched_slices,
        ),
        attachments=_attachments(products, scored, work),
    )


def _attachments(products: Products, scored: pd.DataFrame, work: Path) -> Path:
    folder = work / "attachments"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("ingested", "validated", "plan", "search", "evaluated", "gates"):
        shutil.copyfile(getattr(products, name), folder / f"{name}.json")
    models = {
        name: scored[PREFIX + name].to_numpy()
        for name in (CHALLENGER, CHAMPION)
        if PREFIX + name in scored.columns
    }
    draw_evaluation(models, scored[PREFIX + LABEL].to_numpy(), folder / "evaluation.png")
    return folder


def _summary(made: ModelVersion, alias: str) -> dict[str, Any]:
    return {
        "version": made.version,
        "artifact_digest": made.artifact_digest,
        "data_digest": made.data_digest,
        "alias": alias,
    }


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
