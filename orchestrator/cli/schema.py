"""``mendloop schema``: the JSON Schema of the documents that people write."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points

import click
from pydantic import BaseModel

KINDS = {
    "ManagedModel": "tools.managed_model",
    "GuardrailPolicy": "policies.document",
    "NotificationChannels": "orchestrator.notifications.channels",
    "GuardContext": "policies.context",
    "ChangeCalendar": "orchestrator.change_calendar",
    "FleetLimits": "orchestrator.fleet_limits",
    "JournalSettings": "orchestrator.journal.settings",
}
"""Document kind -> module. GuardContext is what the rules of a GuardrailPolicy may read."""


def kinds() -> dict[str, str]:
    """Every document kind, those of the floors above included, with its module."""
    plugged = {entry.name: entry.value for entry in entry_points(group="mendloop.kinds")}
    return KINDS | plugged


@click.command()
@click.argument("kind", type=click.Choice(sorted(kinds())))
def schema(kind: str) -> None:
    """Print the JSON Schema of a document kind.

    \b
    Example: mendloop schema ManagedModel > managed-model.schema.json
    """
    model = getattr(importlib.import_module(kinds()[kind]), kind)
    assert issubclass(model, BaseModel)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True),
    }
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
