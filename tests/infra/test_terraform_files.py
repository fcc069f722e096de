"""What the Terraform modules promise, read from their files: no terraform is needed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.stand_in.terraform_files import (
    BLOCK,
    EXAMPLES,
    MODULES,
    ROOT,
    hidden,
    listed,
    named,
    plain,
    read,
    text,
    typed,
)

SCHEMAS = json.loads((Path(__file__).parent / "provider_schemas.json").read_text(encoding="utf-8"))
META = {"count", "for_each", "depends_on", "lifecycle", "provider", "dynamic"}
FOLDERS = [pytest.param(p, id=f"{p.parent.name}/{p.name}") for p in (*MODULES, *EXAMPLES)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_variables_say_what_they_are(folder: Path) -> None:
    """A description and a type for each, and no default that fits nothing."""
    variables = named(read(folder).get("variable", []))

    bare = {
        n for n, v in variables.items() if not plain(v.get("description", "")) or "type" not in v
    }
    assert not bare
    assert not {n for n, v in variables.items() if plain(v["type"]) in ("any", "${any}")}


@pytest.mark.parametrize("folder", FOLDERS)
def test_outputs_are_described(folder: Path) -> None:
    """Whoever reads an output knows what it is for."""
    outputs = named(read(folder).get("output", []))

    assert outputs
    assert all(plain(o.get("description", "")) for o in outputs.values())


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_variable_is_used(folder: Path) -> None:
    """A variable that changes nothing is a promise that is not kept."""
    source = text(folder)
    unused = [
        name
        for name in named(read(folder).get("variable", []))
        # Its own validation is no use of it.
        if not re.search(rf"\bvar\.{name}\b", without_variables(source))
    ]

    assert not unused


@pytest.mark.parametrize("folder", FOLDERS)
def test_providers_are_pinned(folder: Path) -> None:
    """To a minor version, the same in all modules."""
    (block,) = read(folder)["terraform"]
    (providers,) = block["required_providers"]

    wanted = {p: f"~> {'.'.join(SCHEMAS[p]['version'].split('.')[:2])}" for p in SCHEMAS}
    found = {p: plain(v["version"]) for p, v in providers.items() if not hidden(p)}
    assert found.items() <= wanted.items()
    assert plain(block["required_version"]).startswith(">= 1.11")


@pytest.mark.parametrize("folder", [p for p in FOLDERS if "examples" in str(p.id)])
def test_examples_give_modules_what_they_need(folder: Path) -> None:
    """Every input that has no default, and none that does not exist."""
    for name, call in named(read(folder)["module"]).items():
        source = (folder / plain(call["source"])).resolve()
        variables = named(read(source)["variable"])
        given = {k for k in call if not hidden(k)} - {"source", "depends_on"}
        needed = {n for n, v in variables.items() if "default" not in v}

        assert given <= set(variables), name
        assert needed <= given, name


def test_every_module_is_shown_in_every_example() -> None:
    """What no example uses, nobody tried."""
    for folder in EXAMPLES:
        used = {Path(plain(m["source"])).name for m in named(read(folder)["module"]).values()}
        assert used == {m.name for m in MODULES}, folder.name


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_is_asked_of_a_provider_that_it_does_not_know(folder: Path) -> None:
    """Attributes and blocks exist in the schema of the pinned version; required ones are there."""
    parsed = read(folder)
    for section, kind in (("resource", "resource_schemas"), ("data", "data_source_schemas")):
        for what, name, body in typed(parsed.get(section, [])):
            schema = SCHEMAS[what.partition("_")[0]][kind]
            assert what in schema, f"{what}: not in provider_schemas.json"
            assert not unknown(body, schema[what]), f"{what}.{name}"


@pytest.mark.parametrize("folder", MODULES, ids=lambda p: p.name)
def test_no_policy_allows_everything(folder: Path) -> None:
    """Wildcards stand in what is denied, and as the resource of actions that only read."""
    for kind, name, body in typed(read(folder).get("data", [])):
        if kind != "aws_iam_policy_document":
            continue
        for statement in body.get("statement", []):
            actions = listed(statement.get("actions", []))
            resources = listed(statement.get("resources", []))
            if plain(statement.get("effect", "Allow")) == "Deny":
                continue
            if any("*" in a for a in actions):
                # The one exception: a KMS key's policy hands the key to its own account.
                principals = [listed(p["identifiers"]) for p in statement.get("principals", [])]
                assert actions == ["kms:*"], name
                assert all(i.endswith(":root") for its in principals for i in its), name
                assert principals, name
            elif "*" in resources:
                assert all(re.match(r"\w+:(Describe|Get|List)", a) for a in actions), name


def test_gpu_nodes_scale_to_zero_and_are_tainted() -> None:
    """And no variable can change that."""
    groups = {
        n: b for k, n, b in typed(read(ROOT / "modules/cluster")["resource"]) if "node_group" in k
    }
    (scaling,), (taint,) = groups["gpu"]["scaling_config"], groups["gpu"]["taint"]

    assert (scaling["min_size"], scaling["desired_size"]) == (0, 0)
    assert (plain(taint["key"]), plain(taint["effect"])) == ("nvidia.com/gpu", "NO_SCHEDULE")


def test_no_password_passes_through_the_state() -> None:
    """No argument of any resource holds a secret that Terraform keeps."""
    for folder in (*MODULES, *EXAMPLES):
        for kind, name, body in typed(read(folder).get("resource", [])):
            told = {"password", "secret_string", "master_password", "set_sensitive"} & set(body)
            assert not told, f"{folder.name}: {kind}.{name}"


def test_models_run_hardened() -> None:
    """The namespace enforces restricted pod security and asks for Istio's sidecar."""
    source = (ROOT / "modules/namespace/main.tf").read_text(encoding="utf-8")

    assert re.search(r'"pod-security.kubernetes.io/enforce"\s+= "restricted"', source)
    kinds = {k for k, _, _ in typed(read(ROOT / "modules/namespace")["resource"])}
    assert kinds == {
        "kubernetes_namespace_v1",
        "kubernetes_resource_quota_v1",
        "kubernetes_limit_range_v1",
        "kubernetes_network_policy_v1",
    }


def test_helm_charts_are_pinned() -> None:
    """A chart from elsewhere names its version; whatever is installed was chosen."""
    for folder in MODULES:
        for kind, name, body in typed(read(folder).get("resource", [])):
            if kind == "helm_release" and "repository" in body:
                assert "version" in body, f"{folder.name}: {name}"
        for name, variable in named(read(folder)["variable"]).items():
            if (
                name.endswith("_version")
                and "default" in variable
                and variable["default"] is not None
            ):
                assert re.match(r"^\d+(\.\d+)*$|^null$", plain(variable["default"])), name


def without_variables(source: str) -> str:
    """The text without its variable blocks, which end at a brace in the first column."""
    return re.sub(r'^variable "[^"]+" \{\n.*?^\}\n', "", source, flags=re.DOTALL | re.MULTILINE)


def unknown(body: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """Arguments and blocks that the schema does not have, and required ones that are missing."""
    attributes, blocks = schema["attributes"], schema["block_types"]
    found, told = [], set()
    for key, value in body.items():
        if hidden(key) or key in META - {"dynamic", *blocks}:
            continue
        if key == "dynamic":
            for name, dynamic in named(value).items():
                (content,) = dynamic["content"]
                told.add(name)
                found += (
                    [f"dynamic {name}"]
                    if name not in blocks
                    else unknown(content, blocks[name]["block"])
                )
        elif isinstance(value, list) and any(isinstance(v, dict) and BLOCK in v for v in value):
            told.add(key)
            if key not in blocks:
                found.append(f"block {key}")
            else:
                found += [p for inner in value for p in unknown(inner, blocks[key]["block"])]
        else:
            told.add(key)
            if key not in attributes or not (
                attributes[key].get("optional") or attributes[key].get("required")
            ):
                found.append(key)
    needed = {n for n, a in attributes.items() if a.get("required")}
    needed |= {n for n, b in blocks.items() if b.get("min_items")}
    return [*found, *(f"missing {n}" for n in sorted(needed - told))]


def test_tables_of_the_readmes_are_those_of_the_files() -> None:
    """`.ci/terraform_readme.py` writes them; nobody else does."""
    script = ROOT.parents[1] / ".ci" / "terraform_readme.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout
