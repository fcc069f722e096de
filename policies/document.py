"""``kind: GuardrailPolicy``: a rule that people write, shaped like ValidatingAdmissionPolicy."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from policies.ruling import Decision
from tools.schema import DocumentValue

_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"


class PolicyMetadata(DocumentValue):
    """Names the policy; the name is unique among those in force."""

    name: str = Field(pattern=_NAME)
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class MatchConstraints(DocumentValue):
    """Which steps the policy is about: all of these must agree."""

    tools: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Names or globs such as ``retrain_*``."""
    exclude_tools: tuple[str, ...] = ()
    targets: tuple[str, ...] = Field(default=("*",), min_length=1)
    """``namespace/name`` or globs; ``*`` also crosses the slash."""
    stages: tuple[Literal["planning", "acting"], ...] = ("planning", "acting")
    """A rule on values of the moment (is its server ready?) can only be asked when acting."""


class MatchCondition(DocumentValue):
    """A CEL condition that must be true too; when it fails, the policy denies."""

    name: str
    expression: str


class Variable(DocumentValue):
    """A named part of a rule, read as ``variables.NAME``; it may read those before it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    expression: str


class Validation(DocumentValue):
    """What must be true for the step to pass."""

    expression: str
    message: str = ""
    message_expression: str = ""
    """CEL that comes to the message, with the values of the moment; ``message`` stands in when it
    fails."""

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if not self.message:
            raise ValueError("a message is needed: it is what people read when the rule forbids")
        return self


class Example(DocumentValue):
    """A moment, and what the policy alone must say about it; ``mendloop policy test`` runs it.

    The context starts as: tool ``observe`` of ``monitor`` on ``default/example`` at noon UTC on
    5 January 2026, acting, everything else not known.
    """

    name: str
    context: dict[str, Any]
    expect: Decision


class GuardrailPolicySpec(DocumentValue):
    """The ``spec`` of a GuardrailPolicy."""

    description: str = ""
    """Why it exists: what would go wrong without it."""
    match_constraints: MatchConstraints = MatchConstraints()
    match_conditions: tuple[MatchCondition, ...] = ()
    variables: tuple[Variable, ...] = ()
    validations: tuple[Validation, ...] = Field(min_length=1)
    failure_policy: Literal["Fail"] = "Fail"
    """A rule that fails (an error, a value that is not known) denies. There is no other choice."""
    action: Literal["Deny", "RequireApproval", "Warn", "Audit"] = "Deny"
    """What a violation leads to."""
    transient: bool = False
    """A denial that passes by itself (a freeze, a cool-down): the incident waits for its end.
    Otherwise the step is ruled out for the incident, and planned around."""
    replaces_builtin: bool = False
    """It stands in for the policy of its name that mendloop ships."""
    examples: tuple[Example, ...] = ()

    @field_validator("variables")
    @classmethod
    def _named_once(cls, variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
        names = [variable.name for variable in variables]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"variables named twice: {', '.join(twice)}")
        return variables


class GuardrailPolicy(DocumentValue):
    """One guardrail."""

    api_version: Literal["mendloop.dev/v1alpha1"]
    kind: Literal["GuardrailPolicy"]
    metadata: PolicyMetadata
    spec: GuardrailPolicySpec
