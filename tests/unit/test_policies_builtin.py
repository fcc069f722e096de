"""The policies that mendloop ships do what their own examples say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.policy_files import builtin_policies, builtin_texts, read_policies
from policies.context import StepContext
from policies.engine import Decision, GuardContext, judge, load_policies
from policies.examples import ExampleResult, run_examples
from tools.errors import Invalid

BUILTIN = builtin_policies()
RESULTS = [result for policy in BUILTIN.policies for result in run_examples(policy)]


@pytest.mark.parametrize("result", RESULTS, ids=lambda r: f"{r.policy}: {r.example}")
def test_examples_hold(result: ExampleResult) -> None:
    """Every example inside a policy document."""
    assert result.passed, result.ruling


def test_every_policy_has_examples_on_both_sides() -> None:
    """One that passes and one that does not, or nobody knows that the rule does anything."""
    for policy in BUILTIN.policies:
        expected = {example.expect for example in policy.document.spec.examples}

        assert Decision.ALLOW in expected, policy.name
        assert len(expected) > 1, policy.name


def test_an_example_that_is_wrong_is_found() -> None:
    """A rule turned around fails its examples."""
    text = builtin_texts()["builtin/data-trust.yaml"].replace(
        "expression: data.trusted", 'expression: "!data.trusted"'
    )
    (policy,) = load_policies({"turned": text}).policies

    assert not all(result.passed for result in run_examples(policy))


def at(tool: str, **values: Any) -> Decision:
    """What all built-in policies together say about a step of a healthy target."""
    healthy: dict[str, Any] = {
        "autonomy": "auto",
        "data": {"trusted": True},
        "pause": {"active": False},
        "budget": {"retrains": 0, "max_retrains": 6, "spent": {}, "limits": {}},
        "history": {"same_kind": 0, "cool_down_hours": 168.0},
        "calendar": {"freezes": []},
        "fleet": {"changing": [], "spent": {}, "limits": {}},
        "limits": {"ask_before": []},
        "traffic": {"next_percent": 5, "allowed_percent": 5},
        "candidate": {
            "version": "2",
            "gates_passed": True,
            "was_sent_back": False,
            "digest_matches": True,
            "ready": True,
        },
    }
    step = {
        "tool": tool,
        "agent": "x",
        "is_safe_return": tool in ("roll_back", "switch_back"),
        "changes_production": True,
        "cost_minutes": 1.0,
        "cost_money": 0.0,
        "risks": [],
    }
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    context = {"target": "default/flights", "now": now, "step": step, **healthy, **values}
    return judge(BUILTIN, GuardContext.model_validate(context)).decision


@pytest.mark.parametrize("tool", ["retrain_full", "start_canary", "promote", "roll_back"])
def test_a_healthy_repair_is_allowed(tool: str) -> None:
    """The guardrails do not stand in the way of what is right."""
    assert at(tool) is Decision.ALLOW


@pytest.mark.parametrize("tool", ["roll_back", "switch_back"])
def test_nothing_but_a_stop_holds_up_an_undo(tool: str) -> None:
    """Budgets, cool-downs, distrusted data, an unready candidate: going back is free of them."""
    broken: dict[str, Any] = {
        "data": {"trusted": False},
        "budget": {"retrains": 6, "max_retrains": 6},
        "history": {"same_kind": 9, "hours_since_same_kind": 0.0, "cool_down_hours": 168.0},
        "candidate": {"gates_passed": False, "ready": False},
        "autonomy": "approve",
    }

    assert at(tool, **broken) is Decision.ALLOW
    assert at(tool, **broken, pause={"active": True}) is Decision.DENY


@pytest.mark.parametrize("tool", ["retrain_full", "a_tool_nobody_thought_of", "promote"])
def test_a_stop_stops_every_change(tool: str) -> None:
    """Also tools that the rule has never heard of."""
    assert at(tool, pause={"active": True, "by": "kim", "reason": "fair"}) is Decision.DENY


def test_a_context_of_which_nothing_is_known_is_denied() -> None:
    """Fail closed: no change on no information."""
    unknown = GuardContext(
        target="default/flights",
        now=datetime(2026, 1, 5, tzinfo=UTC),
        step=StepContext(tool="start_canary", agent="deployer"),
    )

    assert judge(BUILTIN, unknown).decision is Decision.DENY


def test_policies_are_read_from_a_file_or_a_folder(tmp_path: Path) -> None:
    """Operators add their own; what cannot be read is named."""
    (tmp_path / "mine.yaml").write_text("a: 1")
    (tmp_path / "notes.txt").write_text("b")

    assert list(read_policies(tmp_path)) == [str(tmp_path / "mine.yaml")]
    assert read_policies(tmp_path / "mine.yaml") == {str(tmp_path / "mine.yaml"): "a: 1"}
    with pytest.raises(Invalid, match=r"nowhere\.yaml"):
        read_policies(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("tool", "part", "unknown"),
    [
        ("start_canary", "calendar", {}),
        ("start_canary", "fleet", {"spent": {}, "limits": {"targets_at_once": 2.0}}),
        ("start_canary", "fleet", {"changing": ["a/b"], "spent": {}}),
        ("start_canary", "fleet", {"changing": [], "spent": {}, "limits": {"changes": 9.0}}),
        ("start_canary", "budget", {"retrains": 0, "max_retrains": 6, "spent": {}}),
        ("start_canary", "budget", {"spent": {}, "limits": {"changes": 9.0}}),
        ("start_canary", "limits", {}),
        ("start_canary", "error_budget", {"is_set": True}),
        (
            "start_canary",
            "candidate",
            {"version": "2", "gates_passed": True, "digest_matches": True, "ready": True},
        ),
        (
            "retrain_full",
            "history",
            {"same_kind": 1, "hours_since_same_kind": 400.0, "cool_down_hours": 168.0},
        ),
    ],
)
def test_a_value_that_is_not_known_denies(tool: str, part: str, unknown: dict[str, Any]) -> None:
    """Each value that the rules on calendars, budgets, fleet, risks and evidence need."""
    assert at(tool) is Decision.ALLOW
    assert at(tool, **{part: unknown}) is Decision.DENY
