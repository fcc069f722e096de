"""What every tool's declaration must keep, whoever adds the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.catalog import all_tools
from agents.contract import Tool, Undo
from agents.facts import VOCABULARY, check_vocabulary
from orchestrator.goals import GOALS
from tools.documents import load_document
from tools.managed_model import ManagedModel

ROOT = Path(__file__).resolve().parents[2]
AGENTS = {"data_validator", "feature_engineer", "trainer", "deployer", "monitor"}
TOOLS = all_tools()


@pytest.fixture(scope="module")
def model() -> ManagedModel:
    return load_document(ROOT / "examples" / "flights" / "model.yaml", ManagedModel)


def test_every_specialist_has_a_tool() -> None:
    """Five agents, none of them an empty room."""
    assert {tool.contract.agent for tool in TOOLS.values()} == AGENTS


@pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))
def test_a_contract_speaks_the_vocabulary(tool: Tool, model: ManagedModel) -> None:
    """What the planner reasons with is what the executor enforces: the same facts and values."""
    for operation in tool.operations(model):
        for fact, value in operation.achieves.items():
            check_vocabulary(fact, value)
        for condition in operation.requires:
            for value in condition.values:
                check_vocabulary(condition.fact, value)

        assert operation.tool == tool.contract.name
        assert operation.cost.total > 0


@pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))
def test_undo_is_known_before_anything_is_done(tool: Tool) -> None:
    """Promise 4: the way back is a tool that exists, or there is nothing to take back."""
    contract = tool.contract

    assert contract.undo in TOOLS or contract.undo in set(Undo)
    assert contract.undo != Undo.IRREVERSIBLE or not contract.changes_production
    assert contract.deadline_s > 0
    assert contract.max_attempts >= 1


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)
def test_goals_speak_the_vocabulary_and_can_be_worked_on(goal: object) -> None:
    """A goal that no tool of its concern serves would open incidents for ever."""
    from orchestrator.goals import Goal

    assert isinstance(goal, Goal)
    for condition in (*goal.broken_when, *goal.reached_when):
        assert condition.fact in VOCABULARY
    assert any(tool.contract.concern == goal.concern for tool in TOOLS.values())
