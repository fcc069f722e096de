"""Runs the examples inside a policy against that policy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from policies.context import GuardContext
from policies.document import Example
from policies.judge import judge
from policies.policy_set import CompiledPolicy, PolicySet
from policies.ruling import Decision, Ruling
from tools.errors import Invalid
from tools.values import Value

BASE: dict[str, Any] = {
    "target": "default/example",
    "incident": "inc-1",
    "now": "2026-01-05T12:00:00Z",
    "step": {"tool": "observe", "agent": "monitor"},
}
"""The moment that every example starts from; what it does not say is not known."""


class ExampleResult(Value):
    """What one example came to."""

    policy: str
    example: str
    expected: Decision
    ruling: Ruling

    @property
    def passed(self) -> bool:
        """Whether the policy said what its author expects."""
        return self.ruling.decision is self.expected


def run_examples(policy: CompiledPolicy) -> list[ExampleResult]:
    """Every example's result. Raises Invalid for one whose context does not exist."""
    alone = PolicySet(policies=(policy,), digest="")
    return [
        ExampleResult(
            policy=policy.name,
            example=example.name,
            expected=example.expect,
            ruling=judge(alone, _context(policy, example)),
        )
        for example in policy.document.spec.examples
    ]


def _context(policy: CompiledPolicy, example: Example) -> GuardContext:
    try:
        return GuardContext.model_validate(_merged(BASE, example.context))
    except ValidationError as error:
        raise Invalid(f"policy {policy.name}, example {example.name}: {error}") from error


def _merged(base: Mapping[str, Any], fragment: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in fragment.items():
        mine = merged.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            merged[key] = _merged(mine, value)
        else:
            merged[key] = value
    return merged
