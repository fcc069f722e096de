"""Whatever else is true, no shipped rule but the kill switch holds up the way back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime

from agents.catalog import all_tools
from orchestrator.policy_files import builtin_policies
from policies.context import ContextValue, GuardContext, PauseContext, StepContext
from policies.engine import Decision, judge

BUILTIN = builtin_policies()
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
RETURNS = sorted(n for n, tool in all_tools().items() if tool.contract.is_safe_return)
WORDS = st.sampled_from(["", "observe", "auto", "shop: year-end", "roll_back", "all-traffic"])
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: WORDS,
    bool: st.booleans(),
    int: st.integers(-5, 200),
    float: st.floats(-1e6, 1e6),
    Any: WORDS | st.integers(-5, 200),
    AwareDatetime: st.integers(-500, 500).map(lambda hours: NOW + timedelta(hours=hours)),
}
LIMITS = ["retrains", "changes", "minutes", "money", "targets_at_once", "traffic_percent"]


def of_kind(kind: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this annotation takes."""
    if kind in SCALARS:
        return SCALARS[kind]
    if isinstance(kind, type) and issubclass(kind, ContextValue):
        return any_of(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of([st.none() if a is type(None) else of_kind(a) for a in arguments])
    if origin is tuple:
        return st.lists(of_kind(arguments[0]), max_size=3).map(tuple)
    return st.dictionaries(st.sampled_from(LIMITS), of_kind(arguments[1]), max_size=6)


def any_of(model: type[ContextValue]) -> st.SearchStrategy[Any]:
    """Any part of a context, with known and unknown values."""
    fields = {name: of_kind(field.annotation) for name, field in model.model_fields.items()}
    return st.builds(model, **fields)


PARTS = {
    name: any_of(field.annotation)
    for name, field in GuardContext.model_fields.items()
    if isinstance(field.annotation, type)
    and issubclass(field.annotation, ContextValue)
    and name not in ("step", "pause")
}


@pytest.mark.parametrize("tool", RETURNS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.fixed_dictionaries(PARTS),
    autonomy=st.sampled_from([None, "observe", "propose", "approve", "auto"]),
    stage=st.sampled_from(["planning", "acting"]),
)
def test_nothing_holds_up_an_undo_of_its_own(
    tool: str, parts: dict[str, Any], autonomy: Any, stage: Any
) -> None:
    """Freezes, budgets, cool-downs, the blast radius, the ladder: known, unknown or absurd."""
    step = StepContext(
        tool=tool, agent="x", changes_production=True, is_safe_return=True, takes_back_own=True
    )
    context = GuardContext(
        target="default/flights",
        now=NOW,
        stage=stage,
        autonomy=autonomy,
        step=step,
        pause=PauseContext(active=False),
        **parts,
    )
    ruling = judge(BUILTIN, context)

    if autonomy is None:  # a rung that nobody can read is the lowest: only that denies
        assert set(ruling.forbidding) == set()
    else:
        assert ruling.decision is Decision.ALLOW, ruling.reasons


@pytest.mark.parametrize("tool", RETURNS)
def test_a_stop_may_hold_it_up(tool: str) -> None:
    """Whoever pulled the switch has taken over."""
    step = StepContext(
        tool=tool, agent="x", changes_production=True, is_safe_return=True, takes_back_own=True
    )
    context = GuardContext(
        target="default/flights",
        now=NOW,
        autonomy="auto",
        step=step,
        pause=PauseContext(active=True, by="kim", reason="fair"),
    )

    assert judge(BUILTIN, context).decision is Decision.DENY
