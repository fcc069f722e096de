"""What exactly a person approves: the step, and the facts of the moment that it rests on.

Bound is what would change a careful person's mind: arguments, the facts that the step's contract
reads, the cause, the versions and the data by digest, which rules asked and the steady values that
they read. Times and measured figures move at every look; what they mean for the decision is in
which rules asked, so they are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agents.facts import CAUSE
from agents.served import look
from orchestrator.session import Session
from orchestrator.steps import StepRecord
from policies.ruling import Ruling
from tools.registry import ModelVersion

_MOVING = frozenset({"now", "event_time", "facts"})
"""Values of rules that are times, or that hold every fact: the contract's own facts are bound."""
_TIME_OR_SPAN = re.compile(r"^(\d{4}-\d\d-\d\dT.*|-?[\d.]+(e[-+]?\d+)?s)$")


def terms_of(session: Session, step: StepRecord, ruling: Ruling) -> dict[str, Any]:
    """JSON-native; equal as long as the approval is good. Raises Unavailable when unknown."""
    operation, state = step.operation, session.state.values()
    served = look(session.desk, session.model, session.memory)
    asking = [
        v for v in ruling.verdicts if v.action == "RequireApproval" and v.result == "violated"
    ]
    return {
        "target": session.target,
        "incident": step.incident,
        "attempt": step.attempt,
        "tool": operation.tool,
        "arguments": dict(operation.arguments),
        "facts": {c.fact: state[c.fact] for c in operation.requires},
        "cause": state[CAUSE],
        "champion": _version(served.champion),
        "challenger": _version(served.challenger),
        "training_data": session.memory.pinned.digest if session.memory.pinned else "",
        "rules": sorted({f"{v.policy}[{v.rule}]" for v in asking}),
        "values": {
            f"{v.policy}: {name}": value
            for v in asking
            for name, value in sorted(v.values.items())
            if name not in _MOVING and _is_steady(value)
        },
    }


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """What is no longer as it was, one sentence each; empty when the terms are the same."""
    found = []
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            found += [f"{name}: {line}" for line in differences(was, now)]
        else:
            found.append(f"{name} was {_shown(was)}, is {_shown(now)}")
    return tuple(found)


def _version(version: ModelVersion | None) -> dict[str, str]:
    if version is None:
        return {}
    return {"version": version.version, "artifact": version.artifact_digest}


def _is_steady(value: Any) -> bool:
    match value:
        case float():
            return False
        case str():
            return not _TIME_OR_SPAN.match(value)
        case dict():
            return all(_is_steady(v) for v in value.values())
        case list():
            return all(_is_steady(v) for v in value)
        case _:
            return True


def _shown(value: Any) -> str:
    if value in (None, "", {}, []):
        return "nothing"
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    return str(value)
