"""``mendloop pipelines``: compiles the Kubeflow pipelines, and submits a training run."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.delivery import config_option, duration
from orchestrator.cli.pipelines_schedule import schedule

_PIPELINES = ("retrain",)  # a test compares it with pipelines/catalog.py, which imports Kubeflow


@click.group()
def pipelines() -> None:
    """Compile training pipelines, and submit a run."""


pipelines.add_command(schedule)


@pipelines.command(name="compile")
@click.argument("pipeline", type=click.Choice(_PIPELINES), default="retrain")
@click.option("--out", type=click.Path(path_type=Path), help="File to write.  [default: print]")
@click.option("--image", default="", help="Image of the steps, as your registry names it.")
def compile_one(pipeline: str, out: Path | None, image: str) -> None:
    """Compile PIPELINE to Kubeflow's intermediate representation, as YAML.

    No step of it is taken from Kubeflow's cache: data is told apart by its digest, not by its name.

    \b
    Example: mendloop pipelines compile retrain --out retrain.yaml \\
      --image registry.example.com/mendloop-pipelines@sha256:...
    """
    import yaml

    from pipelines.catalog import PIPELINES
    from tools.kubeflow import compiled

    text = yaml.safe_dump(compiled(PIPELINES[pipeline], image=image), sort_keys=True)
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    click.echo(f"{pipeline} is compiled to {out}")


@pipelines.command()
@click.argument("model", type=click.Path(path_type=Path))
@config_option
@click.option("--data", required=True, help="Training data: path or URL of a Parquet or CSV file.")
@click.option("--key", default="", help="Idempotency key.  [default: from data, code and document]")
@click.option("--code-version", default="", help="Commit that is recorded with the version.")
@click.option("--first", is_flag=True, help="Train the very first version; it becomes champion.")
@click.option("--wait", default="", help="Wait so long for its end: 30m, 6h, ...")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
@click.pass_context
def submit(
    context: click.Context,
    model: Path,
    config: Path,
    data: str,
    key: str,
    code_version: str,
    first: bool,
    wait: str,
    as_json: bool,
) -> None:
    """Submit a training run for the ManagedModel document MODEL.

    The same data, code and document make one run, however often this is called. A version that
    passes its gates becomes the challenger, and mendloop takes it through the canary. With --wait,
    exit code 1 says that no version came of it (the gates refused it, the run failed or took too
    long).

    \b
    Example: mendloop pipelines submit model.yaml --config platform.yaml \\
      --data s3://training/2026-03.parquet --wait 2h
    """
    from orchestrator.platform.delivery import registry_arguments, registry_of, runs_of
    from orchestrator.platform.document import read_platform
    from orchestrator.training import key_of, trained, training_request
    from orchestrator.waiting import until
    from tools.documents import load_document
    from tools.managed_model import ManagedModel
    from tools.pipeline_runs import RunPhase

    limit = duration(wait, "--wait") if wait else None
    platform, document = read_platform(config), load_document(model, ManagedModel)
    registry, runs = registry_of(platform), runs_of(platform)
    request = training_request(
        document,
        registry,
        data,
        artifacts=platform.spec.home / "artifacts",
        told=dict(registry_arguments(platform)),
        code_version=code_version,
        is_first=first,
    )
    chosen = key or key_of(document, request)
    state = runs.submit(request, key=chosen)
    ended = None
    if limit is not None:
        ended = until(
            lambda: runs.read(chosen),
            lambda seen: seen.phase not in (RunPhase.RUNNING, RunPhase.ABSENT),
            limit=limit,
            tell=lambda line: click.echo(line, err=True),
        )
    found = trained(document, registry, ended or state)
    click.echo(found.model_dump_json() if as_json else _told(found))
    if limit is not None and not found.is_good:
        context.exit(1)


def _told(found: object) -> str:
    from orchestrator.training import Trained

    assert isinstance(found, Trained)
    if found.version:
        as_what = f"the {found.alias}" if found.alias else f"waiting: {found.reason}"
        return f"run {found.key} made version {found.version}: {as_what}"
    return f"run {found.key} is {found.phase}" + (f": {found.reason}" if found.reason else "")
