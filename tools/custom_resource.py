"""The custom resource definition of a document kind, generated from its pydantic model.

A definition's schema must be structural: no references, no ``anyOf`` around types, no
``additionalProperties: false`` (unknown fields are pruned, and refused where the client asks for
strict validation, as kubectl does). What only pydantic can judge, such as that a slice names a
column of the schema, is told by the condition ``Accepted``. Source:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from tools.kubernetes_kinds import CUSTOM_RESOURCE_DEFINITION, MANAGED_MODEL
from tools.managed_model import ManagedModelSpec
from tools.managed_model_status import ManagedModelStatus

Body = dict[str, Any]
_KEPT = ("type", "enum", "pattern", "format", "minLength", "maxLength", "minItems", "maxItems")
_COLUMNS = (
    ("Phase", "string", ".status.phase", 0),
    ("Champion", "string", ".status.versions.champion", 0),
    ("Incident", "string", ".status.lastIncident.id", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Canary", "integer", ".status.versions.canaryPercent", 1),
    ("Autonomy", "string", ".spec.guardrails.autonomy", 1),
    ("Message", "string", ".status.message", 1),
)
"""What ``kubectl get managedmodels`` shows: name, type, path, and 1 for ``-o wide`` only."""


def managed_model_definition() -> Body:
    """The CustomResourceDefinition of ManagedModel."""
    kind = MANAGED_MODEL
    status = schema_of(ManagedModelStatus, defaults=False)
    status["properties"]["conditions"] |= {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    }
    name = {"type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
    schema = {
        "type": "object",
        "description": "One model that mendloop keeps healthy.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object", "properties": {"name": name}},
            "spec": schema_of(ManagedModelSpec),
            "status": status,
        },
    }
    version = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(*column) for column in _COLUMNS],
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITION.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITION.kind,
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": ["mm"],
            },
            "versions": [version],
        },
    }


def schema_of(model: type[BaseModel], *, defaults: bool = True) -> Body:
    """The structural schema of a model; what mendloop writes itself needs no ``defaults``."""
    told = model.model_json_schema(by_alias=True)
    definitions, notes = told.get("$defs", {}), _field_notes(model)
    schema: Body = {"type": "object", "description": _note(model.__doc__), "properties": {}}
    required = []
    for name, field in model.model_fields.items():
        alias = field.alias or name
        parts = {
            part.__name__: schema_of(part, defaults=defaults)
            for part in _models_in(field.annotation)
        }
        entry = _structural(told["properties"][alias], definitions | parts)
        if name in notes:
            entry["description"] = notes[name]
        if field.is_required():
            required.append(alias)
        elif defaults and field.default is not None:
            entry["default"] = _default(model, name, field.default)
        schema["properties"][alias] = entry
    if required:
        schema["required"] = required
    return schema


def _structural(told: Body, definitions: Body) -> Body:
    """One field's JSON Schema as a definition may say it."""
    if "$ref" in told:
        told = definitions[told["$ref"].rpartition("/")[2]]
        if "properties" in told:
            return dict(told)  # a model's, structural already
    if "anyOf" in told:
        [only] = [option for option in told["anyOf"] if option != {"type": "null"}]
        return {**_structural(only, definitions), "nullable": True}
    schema = {key: told[key] for key in _KEPT if key in told}
    if "const" in told:
        schema["enum"] = [told["const"]]
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if bound in told:
            schema[bound] = told[bound]
        elif exclusive in told:  # OpenAPI 3.0: a bound, and whether it is part of the range
            schema |= {bound: told[exclusive], exclusive: True}
    if told.get("type") == "array":
        schema["items"] = _structural(told["items"], definitions)
    if told.get("type") == "object":
        schema["additionalProperties"] = _structural(told["additionalProperties"], definitions)
    return schema


def _default(model: type[BaseModel], name: str, value: Any) -> Any:
    """Of a part whose fields all have defaults, nothing: the API server fills them in."""
    if isinstance(value, BaseModel) and value == type(value)():
        return {}
    [dumped] = model.model_construct().model_dump(mode="json", include={name}).values()
    return dumped


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model that an annotation such as ``tuple[Column, ...] | None`` names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _field_notes(model: type[BaseModel]) -> dict[str, str]:
    """What stands under each field in the source, for ``kubectl explain``."""
    notes: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if owner in BaseModel.__mro__ or not issubclass(owner, BaseModel):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
        notes |= dict(_notes_in(tree.body[0]))
    return notes


def _notes_in(definition: ast.stmt) -> Iterator[tuple[str, str]]:
    assert isinstance(definition, ast.ClassDef)
    for field, note in zip(definition.body, definition.body[1:], strict=False):
        match field, note:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, _note(text)


def _note(text: str | None) -> str:
    return " ".join((text or "").split())


def _column(name: str, kind: str, path: str, priority: int) -> Body:
    column: Body = {"name": name, "type": kind, "jsonPath": path}
    return column | ({"priority": priority} if priority else {})
