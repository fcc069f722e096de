"""docs/guardrails.md: its documents load, its examples hold, its tables are complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from orchestrator.cli.policy import policy
from orchestrator.policy_files import builtin_policies
from orchestrator.rules import load_rules
from policies.context import ContextValue, GuardContext, declarations
from policies.examples import run_examples
from tools.managed_model import Guardrails

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guardrails.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL)
DOCUMENTS = [block for block in BLOCKS if "kind:" in block]


def described(model: type[ContextValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every field's dotted name with what it means."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, ContextValue):
            yield from described(kind, f"{prefix}{name}.")
        else:
            text = (field.description or "").replace("\n", " ").replace("``", "`")
            yield f"{prefix}{name}", text


@pytest.mark.parametrize("text", DOCUMENTS, ids=lambda text: yaml.safe_load(text)["kind"])
def test_every_document_of_the_guide_can_be_used_as_it_stands(text: str) -> None:
    """Readers copy them."""
    assert load_rules({"guide.yaml": text}).names


def test_the_examples_of_the_policy_in_the_guide_hold(tmp_path: Path) -> None:
    """Its four steps, too: check and test as a reader types them."""
    (text,) = [text for text in DOCUMENTS if "kind: GuardrailPolicy" in text]
    file = tmp_path / "no-friday.yaml"
    file.write_text(text, encoding="utf-8")
    (mine,) = [
        p for p in load_rules({"x": text}).policies.policies if p.name == "no-friday-promotion"
    ]
    results = run_examples(mine)
    checked = CliRunner().invoke(policy, ["check", str(file)])
    tested = CliRunner().invoke(policy, ["test", str(file)])

    assert len(results) == 4
    assert all(result.passed for result in results)
    assert "1 policy is well-formed: no-friday-promotion" in checked.output
    assert (tested.exit_code, tested.output.count("ok    ")) == (0, 4)


def test_the_fragment_of_a_managed_model_is_one() -> None:
    """Field names as the document takes them."""
    (fragment,) = [yaml.safe_load(b) for b in BLOCKS if b.startswith("guardrails:")]
    found = Guardrails.model_validate(fragment["guardrails"])

    assert found.ladder is not None
    assert found.ladder.start == "propose"


def test_every_shipped_policy_is_in_the_guide() -> None:
    """And none that is not shipped."""
    table = GUIDE.split("## The shipped rules")[1].split("\n## ")[0]
    named = set(re.findall(r"^\| `([a-z-]+)`", table, flags=re.MULTILINE))

    assert named == {p.name for p in builtin_policies().policies}


def test_every_field_that_a_rule_may_read_is_in_the_guide_with_its_type_and_meaning() -> None:
    """The table is the code's own words."""
    rows = {
        name: (kind, meaning)
        for name, kind, meaning in re.findall(
            r"^\| `([a-z_.]+)` \| ([a-z(), ]+) \| (.+) \|$", GUIDE, flags=re.MULTILINE
        )
    }
    meant = dict(described(GuardContext))

    assert rows == {name: (kind, meant[name]) for name, kind in declarations().items()}
    assert all(meant.values())
