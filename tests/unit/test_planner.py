"""The planner against an oracle on random problems, and on the real tools in typical states."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.contract import Condition, Cost, Operation
from agents.facts import (
    UNKNOWN,
    Scalar,
)
from orchestrator.planner import NoPlan, Plan, make_plan, search
from orchestrator.relaxation import Relaxation

FACTS = ("a", "b", "c", "d")
VALUES = ("0", "1", "2")
State = dict[str, Scalar]


@st.composite
def conditions(draw: st.DrawFn, most: int = 2) -> tuple[Condition, ...]:
    facts = draw(st.lists(st.sampled_from(FACTS), unique=True, max_size=most))
    values = st.lists(st.sampled_from((*VALUES, UNKNOWN)), unique=True, min_size=1, max_size=2)
    return tuple(Condition(fact=fact, values=tuple(draw(values))) for fact in facts)


@st.composite
def operations(draw: st.DrawFn) -> list[Operation]:
    count = draw(st.integers(1, 7))
    made = []
    for number in range(count):
        achieved = draw(
            st.dictionaries(st.sampled_from(FACTS), st.sampled_from(VALUES), min_size=1, max_size=2)
        )
        made.append(
            Operation(
                tool=f"tool_{number}",
                agent="oracle",
                requires=draw(conditions()),
                achieves=dict(achieved),
                cost=Cost(minutes=draw(st.integers(1, 9))),
            )
        )
    return made


# Facts that nobody established are left out: they read UNKNOWN.
states = st.dictionaries(st.sampled_from(FACTS), st.sampled_from(VALUES)).map(dict)


def least_cost(
    wanted: Sequence[Condition], start: State, tools: Sequence[Operation]
) -> float | None:
    """Dijkstra without any bound, over every state that can be reached."""
    order = itertools.count()
    queue: list[tuple[float, int, State]] = [(0.0, next(order), start)]
    done: set[tuple[tuple[str, Scalar], ...]] = set()
    while queue:
        cost, _, state = heapq.heappop(queue)
        if all(c.holds(state) for c in wanted):
            return cost
        name = tuple(sorted(state.items()))
        if name in done:
            continue
        done.add(name)
        for tool in tools:
            if not tool.unmet(state):
                heapq.heappush(queue, (cost + tool.cost.total, next(order), state | tool.achieves))
    return None


@given(wanted=conditions(most=4), start=states, tools=operations())
@settings(max_examples=200, deadline=None)
def test_a_plan_costs_what_exhaustive_search_finds(
    wanted: tuple[Condition, ...], start: State, tools: list[Operation]
) -> None:
    """Same cost as Dijkstra's, a plan exactly where there is one, and it can be carried out."""
    found = search(wanted, start, tools)
    expected = least_cost(wanted, start, tools)

    assert (found is None) == (expected is None)
    if found is None or expected is None:
        return
    assert sum(step.cost.total for step in found) == pytest.approx(expected)
    state = start
    for step in found:
        assert not step.unmet(state)
        state = state | step.achieves
    assert all(c.holds(state) for c in wanted)


@given(wanted=conditions(most=4), start=states, tools=operations())
@settings(max_examples=200, deadline=None)
def test_the_bound_never_exceeds_what_is_still_to_come(
    wanted: tuple[Condition, ...], start: State, tools: list[Operation]
) -> None:
    """Admissible: at most the true cost; None only where there is no way at all."""
    bound = Relaxation(tools).bound(wanted, start)
    expected = least_cost(wanted, start, tools)

    if expected is not None:
        assert bound is not None
        assert bound <= expected + 1e-9


@given(wanted=conditions(most=4), start=states, tools=operations(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_planning_does_not_depend_on_the_order_of_the_tools(
    wanted: tuple[Condition, ...], start: State, tools: list[Operation], data: st.DataObject
) -> None:
    """Ties fall by name, so a journal replays to the same plans byte for byte."""
    shuffled = data.draw(st.permutations(tools))
    first = make_plan("goal", wanted, start, tools, {})
    second = make_plan("goal", wanted, start, shuffled, {})

    assert first == second


@given(wanted=conditions(most=4), start=states, tools=operations())
@settings(max_examples=60, deadline=None)
def test_the_runner_up_is_another_plan_and_no_cheaper(
    wanted: tuple[Condition, ...], start: State, tools: list[Operation]
) -> None:
    """It leaves out a step of the best plan, and reaches the goal all the same."""
    plan = make_plan("goal", wanted, start, tools, {})
    if isinstance(plan, NoPlan) or not plan.runner_up:
        return
    state = start
    for step in plan.runner_up:
        assert not step.unmet(state)
        state = state | step.achieves

    assert all(c.holds(state) for c in wanted)
    assert plan.runner_up_cost is not None
    assert plan.runner_up_cost >= plan.cost - 1e-9
    assert {s.name for s in plan.steps} - {s.name for s in plan.runner_up}


def test_what_is_ruled_out_is_not_planned_with_and_says_why() -> None:
    """A guardrail's denial reaches the plan and its reasons."""
    cheap = Operation(tool="cheap", agent="x", requires=(), achieves={"a": "1"}, cost=_cost(1))
    dear = Operation(tool="dear", agent="x", requires=(), achieves={"a": "1"}, cost=_cost(5))
    wanted = (Condition(fact="a", values=("1",)),)
    plan = make_plan("goal", wanted, {"a": "0"}, [cheap, dear], {"cheap": "a person said no"})

    assert isinstance(plan, Plan)
    assert [s.name for s in plan.steps] == ["dear"]
    assert {r.option: r.reason for r in plan.rejected} == {"cheap": "a person said no"}


def _cost(minutes: float) -> Cost:
    return Cost(minutes=minutes)


def test_a_solved_problem_is_not_mistaken_for_another_one() -> None:
    """Of two problems that differ in one cost, one fact or one reason, each gets its own plan."""

    def tool(name: str, minutes: float) -> Operation:
        cost = Cost(minutes=minutes)
        return Operation(tool=name, agent="x", requires=(), achieves={"a": "1"}, cost=cost)

    def tools_of(plan: Plan | NoPlan) -> list[str]:
        assert isinstance(plan, Plan)
        return [step.tool for step in plan.steps]

    wanted = (Condition(fact="a", values=("1",)),)
    first = make_plan("goal", wanted, {}, [tool("x", 1), tool("y", 2)], {})
    dearer = make_plan("goal", wanted, {}, [tool("x", 3), tool("y", 2)], {})
    closed = make_plan("goal", wanted, {}, [tool("x", 1), tool("y", 2)], {"x": "denied"})
    reached = make_plan("goal", wanted, {"a": "1"}, [tool("x", 1), tool("y", 2)], {})

    assert [tools_of(p) for p in (first, dearer, closed, reached)] == [["x"], ["y"], ["y"], []]
    again = make_plan("goal", wanted, {}, [tool("x", 1), tool("y", 2)], {"x": "another reason"})
    assert again.ruled_out == {"x": "another reason"}
