"""Judges one step by the policies in force: pure, and closed when anything goes wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from policies.context import GuardContext, values_of
from policies.expression import Fault
from policies.policy_set import CompiledPolicy, CompiledValidation, PolicySet
from policies.ruling import Decision, RuleVerdict, Ruling


def judge(policies: PolicySet, context: GuardContext) -> Ruling:
    """Whether the step may be taken, with every rule's verdict on the values of the moment.

    One denial denies. Where a rule asks for approval, ``context.approved`` answers it. No rule's
    error passes: it denies.
    """
    values = values_of(context)
    verdicts = tuple(v for policy in policies.policies for v in _judged(policy, context, values))
    return Ruling(decision=_decide(verdicts, approved=context.approved), verdicts=verdicts)


def _decide(verdicts: tuple[RuleVerdict, ...], *, approved: bool) -> Decision:
    violated = {v.action for v in verdicts if v.result == "violated"}
    if "Deny" in violated or any(v.result == "error" for v in verdicts):
        return Decision.DENY
    if "RequireApproval" in violated and not approved:
        return Decision.REQUIRE_APPROVAL
    return Decision.ALLOW


def _judged(
    policy: CompiledPolicy, context: GuardContext, values: Mapping[str, Any]
) -> Iterator[RuleVerdict]:
    if not _matches(policy, context):
        return
    for name, condition in policy.conditions:
        met = condition.evaluate(values)
        if isinstance(met, Fault):
            read = _read(condition.reads, values)
            yield _verdict(policy, 0, "error", f"condition {name}: {met.reason}", read)
            return
        if met is not True:
            return
    known = dict(values)
    for name, variable in policy.variables:
        value = variable.evaluate(known)
        # A variable that failed stays undefined: only the rule that reads it fails. So does one
        # that divided by zero: with NaN, ``!(x > 1.0)`` would pass.
        if not isinstance(value, Fault) and _is_finite(value):
            known[f"variables.{name}"] = value
    for place, validation in enumerate(policy.validations):
        yield _ruled(policy, place, validation, known)


def _matches(policy: CompiledPolicy, context: GuardContext) -> bool:
    wanted = policy.document.spec.match_constraints
    tool = context.step.tool
    return (
        context.stage in wanted.stages
        and _any_glob(wanted.tools, tool)
        and not _any_glob(wanted.exclude_tools, tool)
        and _any_glob(wanted.targets, context.target)
    )


@lru_cache(maxsize=8192)
def _any_glob(globs: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _ruled(
    policy: CompiledPolicy, place: int, validation: CompiledValidation, values: Mapping[str, Any]
) -> RuleVerdict:
    outcome = validation.rule.evaluate(values)
    read = _read(validation.rule.reads, values)
    if outcome is True:
        return _verdict(policy, place, "passed", "", read)
    if outcome is False:
        return _verdict(policy, place, "violated", _message(validation, values), read)
    reason = outcome.reason if isinstance(outcome, Fault) else "did not come to true or false"
    return _verdict(policy, place, "error", f"denied because the rule failed: {reason}", read)


def _message(validation: CompiledValidation, values: Mapping[str, Any]) -> str:
    if validation.message is None:
        return validation.fallback_message
    text = validation.message.evaluate(values)
    return text if isinstance(text, str) and text else validation.fallback_message


def _read(names: tuple[str, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    """What the rule read, JSON-native; a name without a value was not known."""
    return {name: _native(values[name]) for name in names if name in values}


def _native(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return f"{value.total_seconds():g}s"
        case _:
            return value


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _verdict(
    policy: CompiledPolicy, place: int, result: Any, message: str, values: dict[str, Any]
) -> RuleVerdict:
    return RuleVerdict(
        policy=policy.name,
        rule=place,
        result=result,
        action=policy.document.spec.action,
        transient=policy.document.spec.transient,
        message=message,
        values=values,
    )
