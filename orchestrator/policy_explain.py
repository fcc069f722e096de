"""Shows what each rule said about a step, the rule's own words with the values it read in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from orchestrator.journal.payloads import GuardJudged
from orchestrator.rules import Rules
from policies.ruling import RuleVerdict
from tools.values import Value

_NAME = re.compile(r"(?<![\w.'\"])[a-z_]+(?:\.[a-z_0-9]+)*(?![\w(])")


class ExplainedRule(Value):
    """One rule on one step."""

    rule: str
    """``policy[index]``."""
    result: str
    action: str
    message: str
    expression: str = ""
    """As written; empty when the rules of that moment are not at hand."""
    substituted: str = ""
    """With the values of that moment."""
    values: dict[str, Any] = {}


def explained(judged: GuardJudged, rules: Rules) -> list[ExplainedRule]:
    """Every rule that was asked; with its words where ``rules`` are those that were in force."""
    words = _expressions(rules) if rules.digest == judged.policies else {}
    return [_explained(verdict, words) for verdict in judged.ruling.verdicts]


def substituted(expression: str, values: Mapping[str, Any]) -> str:
    """The expression with each known name's value in its place."""

    def value(found: re.Match[str]) -> str:
        name = found[0]
        return json.dumps(values[name], ensure_ascii=False) if name in values else name

    return " ".join(_NAME.sub(value, expression).split())


def _explained(verdict: RuleVerdict, words: Mapping[tuple[str, int], str]) -> ExplainedRule:
    expression = words.get((verdict.policy, verdict.rule), "")
    return ExplainedRule(
        rule=f"{verdict.policy}[{verdict.rule}]",
        result=verdict.result,
        action=verdict.action,
        message=verdict.message,
        expression=" ".join(expression.split()),
        substituted=substituted(expression, verdict.values) if expression else "",
        values=verdict.values,
    )


def _expressions(rules: Rules) -> dict[tuple[str, int], str]:
    return {
        (policy.name, place): validation.expression
        for policy in rules.policies.policies
        for place, validation in enumerate(policy.document.spec.validations)
    }
