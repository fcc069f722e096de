"""What an API server does with a custom resource definition: is it structural, and what it refuses.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
(structural schemas, pruning, defaulting, nullable) and OpenAPI 3.0 for the value checks.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

Body = dict[str, Any]
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_ALLOWED = {
    *("type", "description", "title", "default", "nullable", "enum", "pattern", "format"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "properties", "required", "additionalProperties", "items"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
}
"""What a structural schema may say, as far as this stand-in understands it."""
_PATTERN_OF_TIME = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"


def schema_in(definition: Body, version: str) -> Body:
    """The schema of one version."""
    [found] = [v for v in definition["spec"]["versions"] if v["name"] == version]
    schema: Body = found["schema"]["openAPIV3Schema"]
    return schema


def definition_errors(definition: Body) -> list[str]:
    """Why an API server would refuse the definition, or call it not structural."""
    spec, errors = definition["spec"], []
    names = spec["names"]
    if definition["metadata"]["name"] != f"{names['plural']}.{spec['group']}":
        errors.append("metadata.name: must be spec.names.plural+'.'+spec.group")
    if spec["scope"] not in ("Namespaced", "Cluster"):
        errors.append("spec.scope: expected Namespaced or Cluster")
    if [v["storage"] for v in spec["versions"]].count(True) != 1:
        errors.append("spec.versions: exactly one is stored")
    for version in spec["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        if schema.get("type") != "object":
            errors.append("the root must be an object")
        restricted = schema["properties"].get("metadata", {})
        if set(restricted) - {"type", "properties"}:
            errors.append("metadata: only name and generateName may be restricted")
        if set(restricted.get("properties", {})) - {"name", "generateName"}:
            errors.append("metadata: only name and generateName may be restricted")
        for column in version.get("additionalPrinterColumns", ()):
            if not column["jsonPath"].startswith("."):
                errors.append(f"column {column['name']}: jsonPath must begin with a dot")
        errors += _schema_errors(schema, "")
    return errors


def _schema_errors(schema: Body, path: str) -> Iterator[str]:
    where = path or "root"
    kind = schema.get("type")
    if kind not in _TYPES:
        yield f"{where}: type: expected one of {', '.join(_TYPES)}, got {kind!r}"
    for key in sorted(set(schema) - _ALLOWED):
        yield f"{where}: {key} is not allowed in a structural schema"
    if "properties" in schema and "additionalProperties" in schema:
        yield f"{where}: properties and additionalProperties exclude each other"
    if schema.get("additionalProperties") is False:
        yield f"{where}: additionalProperties cannot be false"
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in schema and (schema[exclusive] is not True or bound not in schema):
            yield f"{where}: {exclusive} is true or false, beside {bound}"
    for name in schema.get("required", ()):
        if name not in schema.get("properties", {}):
            yield f"{where}: requires {name}, which is no property"
    if kind == "array" and "items" not in schema:
        yield f"{where}: items are not described"
    if schema.get("nullable") and "enum" in schema and None not in schema["enum"]:
        yield f"{where}: nullable, and the enum lacks null"
    for key in schema.get("x-kubernetes-list-map-keys", ()):
        if key not in schema["items"].get("required", ()):
            yield f"{where}: the key {key} of the list must be required"
    for name, inner in schema.get("properties", {}).items():
        yield from _schema_errors(inner, f"{path}.{name}")
        if "default" in inner:
            value = with_defaults(inner["default"], inner)
            yield from (f"default: {e}" for e in value_errors(value, inner, f"{path}.{name}"))
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _schema_errors(schema[key], f"{path}.{key}")


def admitted(body: Body, schema: Body) -> tuple[Body, list[str]]:
    """The object as it is stored, pruned and with its defaults; and why it is refused."""
    whole = {
        **body,
        **{
            name: with_defaults(pruned(body[name], inner), inner)
            for name, inner in schema["properties"].items()
            if name in body and name != "metadata"
        },
    }
    kept = {*schema["properties"], "apiVersion", "kind", "metadata"}
    found = {name: value for name, value in whole.items() if name in kept}
    return found, list(value_errors(found, schema, ""))


def pruned(value: Any, schema: Body) -> Any:
    """Without fields that the schema does not know, and without null where it is not allowed."""
    match value:
        case dict() if "properties" in schema:
            return {
                name: pruned(inner, schema["properties"][name])
                for name, inner in value.items()
                if name in schema["properties"]
                and (inner is not None or _keeps_null(schema["properties"][name]))
            }
        case dict() if "additionalProperties" in schema:
            return {n: pruned(inner, schema["additionalProperties"]) for n, inner in value.items()}
        case list():
            return [pruned(item, schema.get("items", {})) for item in value]
    return value


def _keeps_null(schema: Body) -> bool:
    """A null goes before defaults are filled in, unless it is allowed or has no default."""
    return bool(schema.get("nullable")) or "default" not in schema


def with_defaults(value: Any, schema: Body) -> Any:
    """With the defaults of what is left out, and of what those bring along."""
    match value:
        case dict() if "properties" in schema:
            filled = {
                name: copy.deepcopy(inner["default"])
                for name, inner in schema["properties"].items()
                if "default" in inner and name not in value
            }
            return {
                name: with_defaults(inner, schema["properties"].get(name, {}))
                for name, inner in {**value, **filled}.items()
            }
        case list():
            return [with_defaults(item, schema.get("items", {})) for item in value]
    return value


def value_errors(value: Any, schema: Body, path: str) -> Iterator[str]:
    """What is wrong with a value, as ``path: reason``."""
    where = path.lstrip(".") or "object"
    if value is None:
        if not schema.get("nullable"):
            yield f"{where}: must not be null"
        return
    kind = schema["type"]
    fits = isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
    is_whole = kind == "integer" and isinstance(value, float) and value.is_integer()
    if not fits and not is_whole:
        yield f"{where}: must be of type {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: supported values: {schema['enum']}"
    yield from _text_errors(value, schema, where)
    yield from _number_errors(value, schema, where)
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{where}.{name}: required value"
        for name, inner in value.items():
            found = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if found is not None and not (path == "" and name == "metadata"):
                yield from value_errors(inner, found, f"{path}.{name}")
        if path == "" and "metadata" in schema.get("properties", {}):
            rule = schema["properties"]["metadata"].get("properties", {}).get("name")
            if rule:
                yield from value_errors(value["metadata"].get("name"), rule, "metadata.name")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{where}: should have at least {schema['minItems']} items"
        if len(value) > schema.get("maxItems", len(value)):
            yield f"{where}: must have at most {schema['maxItems']} items"
        keys = schema.get("x-kubernetes-list-map-keys", ())
        told = [tuple(item.get(k) for k in keys) for item in value if isinstance(item, dict)]
        if keys and len(set(told)) < len(told):
            yield f"{where}: duplicate value"
        for at, item in enumerate(value):
            yield from value_errors(item, schema["items"], f"{path}[{at}]")


def _text_errors(value: Any, schema: Body, where: str) -> Iterator[str]:
    if not isinstance(value, str):
        return
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where}: should match '{schema['pattern']}'"
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{where}: may not be longer than {schema['maxLength']}"
    if len(value) < schema.get("minLength", 0):
        yield f"{where}: should be at least {schema['minLength']} chars long"
    if schema.get("format") == "date-time" and not re.fullmatch(_PATTERN_OF_TIME, value):
        yield f"{where}: must be of type date-time"


def _number_errors(value: Any, schema: Body, where: str) -> Iterator[str]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    if value < low or (schema.get("exclusiveMinimum") and value == low):
        yield f"{where}: should be greater than {low}"
    if value > high or (schema.get("exclusiveMaximum") and value == high):
        yield f"{where}: should be less than {high}"
