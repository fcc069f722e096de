"""``mendloop schema``: the JSON Schema of the documents that people write."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points

import click
from pydantic import BaseModel

from tools.durations import DocumentSchema
from tools.errors import Invalid

KINDS = {
    "ManagedModel": "tools.managed_model",
    "GuardrailPolicy": "policies.document",
    "NotificationChannels": "orchestrator.notifications.channels",
    "GuardContext": "policies.context",
    "ChangeCalendar": "orchestrator.change_calendar",
    "FleetLimits": "orchestrator.fleet_limits",
    "JournalSettings": "orchestrator.journal.settings",
    "Platform": "orchestrator.platform.document",
}
"""Document kind -> module. GuardContext is what the rules of a GuardrailPolicy may read."""


_HEADER = "# Generated from the models: `mendloop schema ManagedModel --crd` renews it.\n"


def kinds() -> dict[str, str]:
    """Every document kind, those of the floors above included, with its module."""
    plugged = {entry.name: entry.value for entry in entry_points(group="mendloop.kinds")}
    return KINDS | plugged


@click.command()
@click.argument("kind", type=click.Choice(sorted(kinds())))
@click.option(
    "--crd", is_flag=True, help="As a Kubernetes CustomResourceDefinition, for ManagedModel."
)
def schema(kind: str, crd: bool) -> None:
    """Print the JSON Schema of a document kind.

    With --crd, print what makes a cluster know the kind: `kubectl get managedmodels`.

    \b
    Examples:
      mendloop schema ManagedModel > managed-model.schema.json
      mendloop schema ManagedModel --crd | kubectl apply --server-side -f -
    """
    if crd:
        click.echo(_definition(kind), nl=False)
        return
    model = getattr(importlib.import_module(kinds()[kind]), kind)
    assert issubclass(model, BaseModel)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True, schema_generator=DocumentSchema),
    }
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _definition(kind: str) -> str:
    import yaml

    from tools.custom_resource import managed_model_definition

    if kind != "ManagedModel":
        raise Invalid(f"{kind} is a file; only a ManagedModel can live in a cluster", field="--crd")
    return _HEADER + yaml.safe_dump(managed_model_definition(), sort_keys=False, width=100)
