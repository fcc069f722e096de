"""What each Kubeflow component calls: text and paths in, one step run, its report kept."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from pipelines.progress import step
from pipelines.steps.summarize import keep_report
from tools.documents import parse_document
from tools.errors import Invalid
from tools.managed_model import ManagedModelSpec


def ingest(uri: str, digest: str, spec: str, output_dir: str, rows: str, report: str) -> None:
    """See pipelines/steps/ingest.py."""
    with step("ingest"):
        from pipelines.steps.ingest import ingest as run

        run(uri, digest, _spec(spec), Path(rows), Path(report))
        keep_report(Path(report), output_dir, "ingested")


def validate(rows: str, spec: str, output_dir: str, report: str) -> None:
    """See pipelines/steps/validate.py."""
    with step("validate"):
        from pipelines.steps.validate import validate as run

        run(Path(rows), _spec(spec), Path(report))
        keep_report(Path(report), output_dir, "validated")


def check_data(uri: str, spec: str) -> None:
    """What ``ingest`` and ``validate`` would say of the data as it is now; nothing is kept."""
    with step("check-data"), tempfile.TemporaryDirectory() as folder:
        from pipelines.steps.ingest import ingest as take
        from pipelines.steps.validate import validate as judge
        from tools.data_files import content_digest

        wanted, rows = _spec(spec), Path(folder) / "rows.parquet"
        take(uri, content_digest(uri), wanted, rows, Path(folder) / "ingested.json")
        judge(rows, wanted, Path(folder) / "validated.json")


def features(rows: str, spec: str, output_dir: str, inputs: str, plan: str) -> None:
    """See pipelines/steps/features.py."""
    with step("features"):
        from pipelines.steps.features import features as run

        run(Path(rows), _spec(spec), Path(inputs), Path(plan))
        keep_report(Path(plan), output_dir, "plan")


def train(
    sources: dict[str, str],
    spec: str,
    output_dir: str,
    artifact: str,
    report: str,
    *,
    model_step: str,
    seed: int,
    changed_at: str = "",
) -> None:
    """See pipelines/steps/train.py."""
    with step("train"):
        from pipelines.steps.train import Sources
        from pipelines.steps.train import train as run

        run(
            Sources.model_validate(sources),
            _spec(spec),
            Path(artifact),
            Path(report),
            model_step=model_step,
            seed=seed,
            changed_at=changed_at,
        )
        keep_report(Path(report), output_dir, "search")


def evaluate(
    rows: str,
    plan: str,
    artifact: str,
    spec: str,
    output_dir: str,
    scored: str,
    report: str,
    *,
    champion_artifact: str,
    champion_digest: str,
) -> None:
    """See pipelines/steps/evaluate.py; ``champion_artifact`` is a folder or an fsspec URL, empty
    for none."""
    with step("evaluate"), tempfile.TemporaryDirectory() as folder:
        from pipelines.steps.evaluate import evaluate as run
        from tools.run_inputs import brought

        champion = brought(champion_artifact, Path(folder)) if champion_artifact else None
        run(
            Path(rows),
            Path(plan),
            Path(artifact),
            _spec(spec),
            Path(scored),
            Path(report),
            champion=champion,
            champion_digest=champion_digest,
        )
        keep_report(Path(report), output_dir, "evaluated")


def gate(scored: str, spec: str, output_dir: str, report: str) -> str:
    """See pipelines/steps/gate.py; the answer decides whether ``register`` runs."""
    with step("gate"):
        from pipelines.steps.gate import gate as run

        decision = run(Path(scored), _spec(spec), Path(report))
        keep_report(Path(report), output_dir, "gates")
        return decision


def register(
    products: dict[str, str],
    spec: str,
    destination: dict[str, str],
    output_dir: str,
    report: str,
) -> None:
    """See pipelines/steps/register.py."""
    with step("register"), tempfile.TemporaryDirectory() as folder:
        from pipelines.steps.register import Destination, Products
        from pipelines.steps.register import register as run

        run(
            Products.model_validate(products),
            _spec(spec),
            Destination.model_validate(destination),
            Path(folder) if "://" in output_dir else Path(output_dir) / "registration",
            Path(report),
        )
        keep_report(Path(report), output_dir, "registered")


def summarize(output_dir: str) -> None:
    """See pipelines/steps/summarize.py."""
    with step("summarize"):
        from pipelines.steps.summarize import summarize as run

        run(output_dir)


def _spec(text: str) -> ManagedModelSpec:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise Invalid(f"not JSON: {error}", field="spec") from error
    return parse_document(data, ManagedModelSpec, source="argument spec")
