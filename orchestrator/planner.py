"""Best-first search from what is believed to what is wanted, over the tools' contracts.

A* (Hart, Nilsson & Raphael 1968) over states of the fact vocabulary, with the bound of
``orchestrator/relaxation.py``. It never overestimates, so the first plan taken off the queue is a
cheapest one; ties are broken by the operations' names, so the search is deterministic.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping, Sequence
from functools import lru_cache

from agents.contract import Condition, Operation
from agents.facts import Scalar
from orchestrator.relaxation import Relaxation
from tools.values import Value

State = dict[str, Scalar]
REMEMBERED = 512
"""Most solved problems that are kept; all that a plan depends on is its problem's name."""
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
    facts: dict[str, Scalar] = {}
    """Where the search started."""
    ruled_out: dict[str, str] = {}
    """What it was not allowed to use."""


class NoPlan(Value):
    """Nothing leads to the goal; says what stands in the way."""

    goal: str
    missing: tuple[str, ...]
    rejected: tuple[Rejected, ...] = ()
    facts: dict[str, Scalar] = {}
    """Where the search started; empty when there was none."""
    ruled_out: dict[str, str] = {}


def make_plan(
    goal: str,
    wanted: Sequence[Condition],
    state: Mapping[str, Scalar],
    operations: Sequence[Operation],
    ruled_out: Mapping[str, str],
) -> Plan | NoPlan:
    """The cheapest plan for ``wanted`` from ``state``.

    ``ruled_out`` maps an operation's name to the reason why it may not be used now (a guardrail,
    an attempt that failed). A problem that was solved lately is not solved again.
    """
    return _plan(
        goal,
        tuple(wanted),
        tuple(state.items()),
        tuple(operations),
        tuple(ruled_out.items()),
    )


@lru_cache(maxsize=REMEMBERED)
def _plan(
    goal: str,
    wanted: tuple[Condition, ...],
    facts: tuple[tuple[str, Scalar], ...],
    operations: tuple[Operation, ...],
    closed: tuple[tuple[str, str], ...],
) -> Plan | NoPlan:
    state, ruled_out = dict(facts), dict(closed)
    allowed = sorted((o for o in operations if o.name not in ruled_out), key=lambda o: o.name)
    forbidden = tuple(Rejected(option=n, reason=r) for n, r in sorted(ruled_out.items()))
    relaxed = Relaxation(allowed)
    best = search(wanted, dict(state), allowed, relaxed)
    if best is None:
        unmet = tuple(str(c) for c in wanted if not c.holds(dict(state)))
        stuck = _unreachable(allowed, state, relaxed)
        return NoPlan(
            goal=goal,
            missing=unmet,
            rejected=forbidden + stuck,
            facts=dict(state),
            ruled_out=dict(ruled_out),
        )
    cost = sum(step.cost.total for step in best)
    second = _runner_up(wanted, dict(state), allowed, best)
    return Plan(
        goal=goal,
        steps=best,
        cost=cost,
        runner_up=second or (),
        runner_up_cost=None if second is None else sum(s.cost.total for s in second),
        rejected=forbidden + _reasons(wanted, dict(state), allowed, best, relaxed),
        facts=dict(state),
        ruled_out=dict(ruled_out),
    )


def search(
    wanted: Sequence[Condition],
    start: State,
    operations: Sequence[Operation],
    relaxation: Relaxation | None = None,
) -> tuple[Operation, ...] | None:
    """A cheapest sequence of operations that makes every condition hold, or None.

    ``relaxation`` of the same operations may be handed in by who searches several times.
    """
    order = itertools.count()
    relaxed = relaxation or Relaxation(operations)
    first = relaxed.bound(wanted, start)
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
            bound = relaxed.bound(wanted, after)
            if after == state or bound is None:
                continue
            spent = cost + operation.cost.total
            heapq.heappush(queue, (spent + bound, next(order), spent, after, (*path, operation)))
    return None


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
    relaxed: Relaxation,
) -> tuple[Rejected, ...]:
    """Why each operation outside the best plan is outside it."""
    taken = {step.name for step in best}
    cost = sum(step.cost.total for step in best)
    rejected = []
    for operation in operations:
        if operation.name in taken:
            continue
        blocked = [c for c in operation.requires if not relaxed.is_reachable(c, state)]
        if blocked:
            reason = f"cannot be used: {blocked[0]} is out of reach"
        else:
            reason = _why_dearer(wanted, state, operations, operation, cost, relaxed)
        rejected.append(Rejected(option=operation.name, reason=reason))
    return tuple(rejected)


def _why_dearer(
    wanted: Sequence[Condition],
    state: State,
    operations: Sequence[Operation],
    operation: Operation,
    cost: float,
    relaxed: Relaxation,
) -> str:
    """What a plan that is made to begin with ``operation`` would come to."""
    if operation.unmet(state):
        return f"not needed: the plan reaches the goal at {cost:.1f} without it"
    rest = search(wanted, state | operation.achieves, operations, relaxed)
    if rest is None:
        return "leads away from the goal"
    dearer = operation.cost.total + sum(s.cost.total for s in rest)
    return f"a plan that begins with it costs {dearer:.1f} against {cost:.1f}"


def _unreachable(
    operations: Sequence[Operation], state: Mapping[str, Scalar], relaxed: Relaxation
) -> tuple[Rejected, ...]:
    stuck = []
    for operation in operations:
        blocked = [c for c in operation.requires if not relaxed.is_reachable(c, state)]
        if blocked:
            stuck.append(Rejected(option=operation.name, reason=f"needs {blocked[0]}"))
    return tuple(stuck)
