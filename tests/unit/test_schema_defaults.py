"""Published schemas agree with themselves: whoever writes a default out is not refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator.cli.main import cli
from orchestrator.cli.schema import kinds

Body = dict[str, Any]
_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
_UNDERSTOOD = {
    *("$ref", "$defs", "anyOf", "oneOf", "allOf", "type", "enum", "const", "pattern", "properties"),
    *("additionalProperties", "required", "items", "prefixItems", "title", "description"),
    *("default", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"),
    *("minItems", "maxItems", "minLength", "maxLength", "uniqueItems", "discriminator", "$schema"),
    "propertyNames",
}


def complaints(value: Any, schema: Body, root: Body) -> Iterator[str]:
    """Why a JSON Schema (of those that pydantic writes) refuses the value."""
    assert set(schema) <= _UNDERSTOOD, f"teach this test {set(schema) - _UNDERSTOOD}"
    if "$ref" in schema:
        yield from complaints(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    options = schema.get("anyOf", schema.get("oneOf", []))
    if options and all(any(complaints(value, option, root)) for option in options):
        yield f"{value!r} is none of {options}"
    if "type" in schema and not _is(value, schema["type"]):
        yield f"{value!r} is no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is not one of {schema['enum']}"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{value!r} does not match {schema['pattern']}"
    if isinstance(value, list):
        for each in value:
            yield from complaints(each, schema.get("items", {}), root)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for name, each in value.items():
            part = known.get(name, schema.get("additionalProperties", {}))
            if part is False:
                yield f"{name} is not expected"
            elif isinstance(part, dict):
                yield from complaints(each, part, root)
        for name in set(schema.get("required", ())) - set(value):
            yield f"{name} is missing"


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


def defaults(schema: Any, path: str = "") -> Iterator[tuple[str, Body]]:
    """Every place with a default."""
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from defaults(part, f"{path}/{number}")
    if isinstance(schema, dict):
        if "default" in schema and not path.endswith("/properties"):
            yield path, schema
        for name, part in schema.items():
            if name != "default":
                yield from defaults(part, f"{path}/{name}")


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_default_is_valid_under_its_own_schema(kind: str) -> None:
    """Durations too: `30m`, not `PT30M`."""
    root = json.loads(CliRunner().invoke(cli, ["schema", kind]).output)
    found = list(defaults(root))

    assert {p: list(complaints(s["default"], s, root)) for p, s in found} == {
        place: [] for place, _ in found
    }


def test_a_default_in_another_form_would_be_noticed() -> None:
    """The check is one."""
    duration = {"type": "string", "pattern": r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$"}

    assert list(complaints("PT30M", duration, {}))
    assert not list(complaints("30m", duration, {}))
