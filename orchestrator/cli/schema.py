"""``mendloop schema``: the JSON Schema of the documents that people write."""

from __future__ import annotations

import importlib
import json

import click
from pydantic import BaseModel

KINDS = {
    "ManagedModel": "tools.managed_model",
    "GuardrailPolicy": "policies.document",
    "GuardContext": "policies.context",
}
"""Document kind -> module. GuardContext is what the rules of a GuardrailPolicy may read."""


@click.command()
@click.argument("kind", type=click.Choice(sorted(KINDS)))
def schema(kind: str) -> None:
    """Print the JSON Schema of a document kind.

    \b
    Example: mendloop schema ManagedModel > managed-model.schema.json
    """
    model = getattr(importlib.import_module(KINDS[kind]), kind)
    assert issubclass(model, BaseModel)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True),
    }
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
