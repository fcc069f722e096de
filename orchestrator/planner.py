"""Best-first search from what is believed to what is wanted, over the tools' contracts.

A* (Hart, Nilsson & Raphael 1968) over states of the fact vocabulary. The bound is h_max (Bonet &
Geffner 2001): the dearest single unmet condition when every condition may be reached on its own
and nothing achieved is ever lost. It never overestimates, so the first plan taken off the queue
is a cheapest one; ties are broken by the operations' names, so the search is deterministic.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping, Sequence

from agents.contract import Condition, Operation
from agents.facts import Scalar
from tools.values import Value

State = dict[str, Scalar]
Reach = dict[str, dict[Scalar, float]]
"""Fact to value to the least that reaching it costs."""
MAX_EXPANSIONS = 20_000
"""Bound on the search; reaching it is a planning failure, never an endless loop."""


class Rejected(Value):
    """An option that was considered and not taken, and why."""

    option: str
    reason: str


class Plan(Value):
    """The cheapest way to the goal, the next best, and why every other option was left."""

    goal: str
    steps: tuple[Operation, ...]
    cost: float
    runner_up: tuple[Operation, ...] = ()
    runner_up_cost: float | None = None
    rejected: tuple[Rejected, ...] = ()


class NoPlan(Value):
    """Nothing leads to the goal; says what stands in the way."""

    goal: str
    missing: tuple[str, ...]
    rejected: tuple[Rejected, ...] = ()


def make_plan(
    goal: str,
    wanted: Sequence[Condition],
    state: Mapping[str, Scalar],
    operations: Sequence[Operation],
    ruled_out: Mapping[str, str],
) -> Plan | NoPlan:
    """The cheapest plan for ``wanted`` from ``state``.

    ``ruled_out`` maps an operation's name to the reason why it may not be used now (a guardrail,
    an attempt that failed).
    """
    allowed = sorted((o for o in operations if o.name not in ruled_out), key=lambda o: o.name)
    forbidden = tuple(Rejected(option=n, reason=r) for n, r in sorted(ruled_out.items()))
    best = search(wanted, dict(state), allowed)
    if best is None:
        unmet = tuple(str(c) for c in wanted if not c.holds(dict(state)))
        stuck = _unreachable(allowed, dict(state))
        return NoPlan(goal=goal, missing=unmet, rejected=forbidden + stuck)
    cost = sum(step.cost.total for step in best)
    second = _runner_up(wanted, dict(state), allowed, best)
    return Plan(
        goal=goal,
        steps=best,
        cost=cost,
        runner_up=second or (),
        runner_up_cost=None if second is None else sum(s.cost.total for s in second),
        rejected=forbidden + _reasons(wanted, dict(state), allowed, best, cost),
    )


def search(
    wanted: Sequence[Condition], start: State, operations: Sequence[Operation]
) -> tuple[Operation, ...] | None:
    """A cheapest sequence of operations that makes every condition hold, or None."""
    order = itertools.count()
    first = _bound(wanted, start, operations)
    if first is None:
        return None
    queue: list[tuple[float, int, float, State, tuple[Operation, ...]]] = []
    heapq.heappush(queue, (first, next(order), 0.0, start, ()))
    cheapest: dict[tuple[tuple[str, Scalar], ...], float] = {}
    for _ in range(MAX_EXPANSIONS):
        if not queue:
            return None
        _, _, cost, state, path = heapq.heappop(queue)
        if all(c.holds(state) for c in wanted):
            return path
        seen = tuple(sorted(state.items()))
        if cheapest.get(seen, float("inf")) <= cost:
            continue
        cheapest[seen] = cost
        for operation in operations:
            if operation.unmet(state):
                continue
            after = state | operation.achieves
            bound = _bound(wanted, after, operations)
            if after == state or bound is None:
                continue
            spent = cost + operation.cost.total
            heapq.heappush(queue, (spent + bound, next(order), spent, after, (*path, operation)))
    return None


def _bound(
    wanted: Sequence[Condition], state: State, operations: Sequence[Operation]
) -> float | None:
    """h_max: a lower bound on the cost still to come; None when the goal cannot be reached."""
    reach = _relaxed_costs(state, operations)
    return _dearest(wanted, reach)


def _relaxed_costs(state: State, operations: Sequence[Operation]) -> Reach:
    """What every value of every fact costs at least, when nothing achieved is ever lost."""
    reach: Reach = {fact: {value: 0.0} for fact, value in state.items()}
    changed = True
    while changed:
        changed = False
        for operation in operations:
            start = _dearest(operation.requires, reach)
            if start is None:
                continue
            total = start + operation.cost.total
            for fact, value in operation.achieves.items():
                known = reach.setdefault(fact, {})
                if total < known.get(value, float("inf")):
                    known[value] = total
                    changed = True
    return reach


def _dearest(conditions: Sequence[Condition], reach: Reach) -> float | None:
    """The cost of the dearest condition; None when one is out of reach."""
    worst = 0.0
    for condition in conditions:
        cost = _condition_cost(condition, reach)
        if cost is None:
            return None
        worst = max(worst, cost)
    return worst


def _condition_cost(condition: Condition, reach: Reach) -> float | None:
    known = reach.get(condition.fact, {})
    return min((cost for value, cost in known.items() if value in condition.values), default=None)


def _runner_up(
    wanted: Sequence[Condition],
    state: State,
    operations: Sequence[Operation],
    best: Sequence[Operation],
) -> tuple[Operation, ...] | None:
    """The cheapest plan that leaves out at least one step of the best."""
    found = []
    for step in best:
        without = [o for o in operations if o.name != step.name]
        plan = search(wanted, state, without)
        if plan is not None:
            found.append((sum(s.cost.total for s in plan), [s.name for s in plan], plan))
    return min(found, key=lambda entry: entry[:2])[2] if found else None


def _reasons(
    wanted: Sequence[Condition],
    state: State,
    operations: Sequence[Operation],
    best: Sequence[Operation],
    cost: float,
) -> tuple[Rejected, ...]:
    """Why each operation outside the best plan is outside it."""
    taken = {step.name for step in best}
    reach = _relaxed_costs(state, operations)
    rejected = []
    for operation in operations:
        if operation.name in taken:
            continue
        blocked = [c for c in operation.requires if _condition_cost(c, reach) is None]
        if blocked:
            reason = f"cannot be used: {blocked[0]} is out of reach"
        else:
            reason = _why_dearer(wanted, state, operations, operation, cost)
        rejected.append(Rejected(option=operation.name, reason=reason))
    return tuple(rejected)


def _why_dearer(
    wanted: Sequence[Condition],
    state: State,
    operations: Sequence[Operation],
    operation: Operation,
    cost: float,
) -> str:
    """What a plan that is made to begin with ``operation`` would come to."""
    if operation.unmet(state):
        return f"not needed: the plan reaches the goal at {cost:.1f} without it"
    rest = search(wanted, state | operation.achieves, operations)
    if rest is None:
        return "leads away from the goal"
    dearer = operation.cost.total + sum(s.cost.total for s in rest)
    return f"a plan that begins with it costs {dearer:.1f} against {cost:.1f}"


def _unreachable(operations: Sequence[Operation], state: State) -> tuple[Rejected, ...]:
    reach = _relaxed_costs(state, operations)
    stuck = []
    for operation in operations:
        blocked = [c for c in operation.requires if _condition_cost(c, reach) is None]
        if blocked:
            stuck.append(Rejected(option=operation.name, reason=f"needs {blocked[0]}"))
    return tuple(stuck)
