"""docs/production.md: every command is marked, exists, and its documents fit what reads them."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml
from pydantic import BaseModel

from orchestrator.cli.schema import kinds
from orchestrator.platform.document import Platform
from tests.stand_in.command_lines import mendloop_lines, problem
from tools.documents import load_document
from tools.managed_model import ManagedModel

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "infra" / "terraform" / "examples" / "production"
MARK = re.compile(r"# \[(tried|checked|yours)\]")


def blocks(language: str) -> list[str]:
    """The guide's blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


LINES = [line[2:] for block in blocks("console") for line in block.splitlines()]


def test_every_command_says_how_far_it_was_tried() -> None:
    """One mark each, and all three marks are explained at the top."""
    assert LINES
    assert not [line for line in LINES if len(MARK.findall(line)) != 1]
    for mark in ("tried", "checked", "yours"):
        assert f"| `[{mark}]` |" in TEXT


@pytest.mark.parametrize("line", [call for line in LINES for call in mendloop_lines(line)])
def test_mendloop_understands_what_the_guide_types(line: str) -> None:
    """Subcommands and options exist, and none that is needed is missing."""
    assert not problem(line)


def test_mendloops_own_commands_are_never_left_to_the_reader() -> None:
    """What can be checked here is not marked as untried."""
    left = [line for line in LINES if mendloop_lines(line) and "[yours]" in line]

    assert not left


def test_what_the_guide_shows_is_what_an_operator_needs() -> None:
    """From the first connection to the last."""
    typed = "\n".join(LINES)

    for word in (
        *("doctor", "get managedmodels", "incidents", "approve", "reject", "pause", "resume"),
        *("autonomy", "STOP", "pg_dump", "pg_restore", "audit verify", "rotate-key", "make-key"),
        *("database upgrade", "helm upgrade", "helm uninstall", "terraform destroy"),
    ):
        assert word in typed, word


def test_documents_fit_their_schemas() -> None:
    """Whole documents by their kind; pieces by what they are pieces of."""
    seen = set()
    for block in blocks("yaml"):
        document = yaml.safe_load(block)
        if "kind" in document:
            seen.add(document["kind"])
            kind = getattr(importlib.import_module(kinds()[document["kind"]]), document["kind"])
            assert issubclass(kind, BaseModel)
            kind.model_validate(document)
        elif "guardrails" in document:
            seen.add("guardrails")
            whole = load_document(ROOT / "examples/flights/model.yaml", ManagedModel)
            spec = whole.spec.model_dump(mode="json", by_alias=True) | document
            ManagedModel.model_validate(
                whole.model_dump(mode="json", by_alias=True) | {"spec": spec}
            )
        else:
            seen.add("values")
            _check_values(document)

    assert seen == {"ManagedModel", "guardrails", "values"}


def _check_values(given: dict[str, Any]) -> None:
    """The chart knows them, and with its defaults they make a Platform."""
    chart = ROOT / "infra" / "helm" / "mendloop"
    defaults = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    values = _merged(defaults, given)
    assert set(given) <= set(defaults)
    objects = {k for k in given if isinstance(given[k], dict)} - {"platform"}
    assert all(set(given[k]) <= set(defaults[k]) for k in objects)
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    for name in set(given) - objects - {"platform"}:
        known = schema["properties"][name]["items"]["properties"]
        assert all(set(each) <= set(known) for each in given[name]), name
    spec = values["platform"] | {"kubernetes": {"namespace": "mendloop"}}
    Platform.model_validate(
        {
            "apiVersion": "mendloop.dev/v1alpha1",
            "kind": "Platform",
            "metadata": {"name": "mendloop"},
            "spec": spec,
        }
    )


def _merged(below: Any, above: Any) -> Any:
    """As Helm merges values."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {k: _merged(below.get(k), above.get(k, below.get(k))) for k in {**below, **above}}
    return above


def test_terraforms_variables_are_given() -> None:
    """All that the example needs, and none that it does not know."""
    (block,) = blocks("hcl")
    given = {name for name in hcl2.loads(block) if not name.startswith("__")}
    parsed = hcl2.loads((EXAMPLE / "variables.tf").read_text(encoding="utf-8"))
    variables = {k.strip('"'): v for block in parsed["variable"] for k, v in block.items()}

    assert given <= set(variables)
    assert {name for name, its in variables.items() if "default" not in its} <= given


def test_what_the_guide_names_is_there() -> None:
    """Files, folders, Terraform modules, scenarios, sections."""
    for path in re.findall(r"\]\((\.\./[^)#]+|[\w-]+\.md)", TEXT):
        assert (ROOT / "docs" / path).exists(), path
    for path in re.findall(r"(?<!/)\binfra/[\w/.-]+", TEXT):
        assert (ROOT / path).exists(), path
    modules = {
        k.strip('"')
        for block in hcl2.loads((EXAMPLE / "main.tf").read_text(encoding="utf-8"))["module"]
        for k in block
    }
    assert set(re.findall(r"-target module\.(\w+)", TEXT)) <= modules
    sections = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^## (.+)$", TEXT, flags=re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= sections
    for name in re.findall(r"mendloop simulate ([\w -]+?) --", TEXT)[0].split():
        assert (ROOT / "simulations" / "scenarios" / f"{name}.yaml").exists(), name
