"""``mendloop pipelines schedule``: Kubeflow checks training data on a calendar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.delivery import config_option, duration

if TYPE_CHECKING:
    from tools.pipeline_schedules import PipelineSchedules, Schedule

_model = click.argument("model", type=click.Path(path_type=Path))
_data = click.option("--data", required=True, help="Path or URL of the table that is checked.")
_cron = click.option("--cron", default="", help="When, in UTC: '0 4 * * 1'.")
_every = click.option("--every", default="", help="Instead of --cron: 6h, 1d, ...")
_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


@click.group()
def schedule() -> None:
    """Let Kubeflow check a model's training data on a calendar.

    A check trains nothing and changes nothing. A training on a calendar is spec.triggers of the
    ManagedModel: it goes through gates, canary and guardrails.

    \b
    Example: mendloop pipelines schedule set model.yaml --config platform.yaml \\
      --data s3://training/latest.parquet --every 1d
    """


@schedule.command(name="set")
@_model
@config_option
@_data
@_cron
@_every
@_json
def set_(model: Path, config: Path, data: str, cron: str, every: str, as_json: bool) -> None:
    """Keep one recurring run that checks MODEL's training data; again, nothing changes.

    \b
    Example: mendloop pipelines schedule set model.yaml --config platform.yaml \\
      --data s3://training/latest.parquet --cron "0 4 * * 1"
    """
    wanted = _wanted(model, data, cron, every)
    changed = _schedules(config).ensure(wanted)
    _tell(wanted.name, "set" if changed else "in force already", as_json=as_json)


@schedule.command()
@_model
@config_option
@_data
@_cron
@_every
@_json
@click.pass_context
def show(
    context: click.Context,
    model: Path,
    config: Path,
    data: str,
    cron: str,
    every: str,
    as_json: bool,
) -> None:
    """Say whether the recurring run is in force just as asked; exit code 1 when it is not.

    \b
    Example: mendloop pipelines schedule show model.yaml --config platform.yaml \\
      --data s3://training/latest.parquet --cron "0 4 * * 1"
    """
    wanted = _wanted(model, data, cron, every)
    is_kept = _schedules(config).is_kept(wanted)
    _tell(wanted.name, "in force" if is_kept else "not in force", as_json=as_json)
    if not is_kept:
        context.exit(1)


@schedule.command()
@_model
@config_option
@_json
def remove(model: Path, config: Path, as_json: bool) -> None:
    """End the recurring run of MODEL; runs under way go on.

    \b
    Example: mendloop pipelines schedule remove model.yaml --config platform.yaml
    """
    name = _name(model)
    was_there = _schedules(config).remove(name)
    _tell(name, "removed" if was_there else "was not there", as_json=as_json)


def _wanted(model: Path, data: str, cron: str, every: str) -> Schedule:
    from tools.documents import load_document
    from tools.errors import Invalid
    from tools.managed_model import ManagedModel
    from tools.pipeline_schedules import Schedule
    from tools.triggers import Triggers
    from tools.values import canonical_json

    if bool(cron) == bool(every):
        raise click.UsageError("give one of --cron and --every")
    seconds = round(duration(every, "--every").total_seconds()) if every else 0
    if cron:
        try:
            Triggers(cron=cron)
        except ValueError as error:
            raise Invalid("expected five fields such as '0 4 * * 1'", field="--cron") from error
    spec = load_document(model, ManagedModel).spec.model_dump(mode="json", by_alias=True)
    return Schedule(
        name=_name(model),
        pipeline="check_data",
        arguments={"data_uri": data, "spec": canonical_json(spec)},
        cron=cron,
        every_s=seconds,
    )


def _name(model: Path) -> str:
    from tools.documents import load_document
    from tools.managed_model import ManagedModel

    return f"{load_document(model, ManagedModel).target}/check-data"


def _schedules(config: Path) -> PipelineSchedules:
    from orchestrator.platform.delivery import schedules_of
    from orchestrator.platform.document import read_platform

    return schedules_of(read_platform(config))


def _tell(name: str, standing: str, *, as_json: bool) -> None:
    said = json.dumps({"schedule": name, "standing": standing})
    click.echo(said if as_json else f"{name}: {standing}")
