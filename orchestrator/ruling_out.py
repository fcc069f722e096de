"""Closes a way that failed or is denied, and opens it again when a new challenger begins afresh."""

from __future__ import annotations

from typing import Any

from orchestrator.session import Session
from orchestrator.steps import StepRecord, abandon
from policies.ruling import Ruling

State = dict[str, Any]
WITHDRAW = "withdraw_challenger"


def denied(state: State, session: Session, step: StepRecord, ruling: Ruling, reason: str) -> State:
    """Leave the step out: for now where the rule may stop denying by itself, else for good.

    A step that was never begun is not counted. One that was begun and may have taken effect is
    given up on the record, and the world says what became of it.
    """
    is_begun = abandon(session, step, reason)
    change: State = {} if is_begun else {"steps_taken": step.number - 1}
    if not ruling.is_transient:
        return rule_out(state, session, step, reason, for_good=True) | change
    if is_begun:
        change["attempts"] = counted(state, step)
    change["denied"] = {**state.get("denied", {}), step.operation.name: reason}
    return {"next": "observe" if is_begun else "plan", "step": {}, **change}


def rule_out(
    state: State, session: Session, step: StepRecord, reason: str, *, for_good: bool
) -> State:
    """Close this way, at once or when its attempts are used up, and look again."""
    name = step.operation.name
    failures = state.get("failures", {}).get(name, 0) + 1
    change: State = {
        "next": "observe",
        "step": {},
        "attempts": counted(state, step),
        "failures": {**state.get("failures", {}), name: failures},
    }
    if for_good or failures >= session.tools[step.operation.tool].contract.max_attempts:
        change["ruled_out"] = {**state.get("ruled_out", {}), name: reason}
    return change


def taken_back(state: State, session: Session, step: StepRecord) -> State:
    """What is learned when a challenger had to go: what made it failed once, and the next one
    may be tried from the beginning."""
    if step.operation.tool != WITHDRAW:
        return {}
    failures, ruled_out = dict(state.get("failures", {})), dict(state.get("ruled_out", {}))
    attempts = state.get("attempts", {})
    for name in sorted({*state.get("attempts", {}), *failures, *ruled_out}):
        contract = session.tools[name.partition("(")[0]].contract
        if contract.is_per_challenger:
            failures.pop(name, None)
            ruled_out.pop(name, None)
        elif contract.undo == WITHDRAW and failures.get(name, 0) < attempts.get(name, 1):
            # an attempt that is counted as failed already is not counted for its challenger too
            failures[name] = failures.get(name, 0) + 1
            if failures[name] >= contract.max_attempts:
                ruled_out[name] = f"{failures[name]} of its challengers or runs failed"
    return {"failures": failures, "ruled_out": ruled_out}


def counted(state: State, step: StepRecord) -> dict[str, int]:
    """The next step of this name is another act, with another key."""
    return {**state.get("attempts", {}), step.operation.name: step.attempt}
