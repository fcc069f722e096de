"""h_max: what the goal costs at least, in a problem where nothing achieved is ever lost.

The dearest single condition when every condition may be reached on its own (Bonet & Geffner 2001).
It never overestimates, and it falls by no more than the cost of a step from one state to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agents.contract import Condition, Operation
from agents.facts import Scalar

Literal = tuple[str, Scalar]
_NEVER = float("inf")


class Relaxation:
    """The relaxed problem of one set of operations; asked for many states, it remembers them."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        achieved = {literal for o in operations for literal in o.achieves.items()}
        self._values: dict[str, set[Scalar]] = {}
        for fact, value in achieved:
            self._values.setdefault(fact, set()).add(value)
        self._operations = [
            (
                [(c, self._achievable(c)) for c in o.requires],
                tuple(o.achieves.items()),
                o.cost.total,
            )
            for o in operations
        ]
        self._bounds: dict[tuple[Literal, ...], dict[Literal, float]] = {}

    def bound(self, wanted: Sequence[Condition], state: Mapping[str, Scalar]) -> float | None:
        """A lower bound on the cost still to come; None when the goal cannot be reached."""
        reach = self._reach(state)
        costs = [self._cost(c, self._achievable(c), state, reach) for c in wanted]
        worst = max(costs, default=0.0)
        return None if worst == _NEVER else worst

    def is_reachable(self, condition: Condition, state: Mapping[str, Scalar]) -> bool:
        """Whether any sequence of operations could make the condition hold, in the relaxation."""
        return self.bound((condition,), state) is not None

    def _achievable(self, condition: Condition) -> tuple[Literal, ...]:
        """The condition's values that some operation brings about."""
        known = self._values.get(condition.fact, set())
        return tuple((condition.fact, v) for v in condition.values if v in known)

    def _reach(self, state: Mapping[str, Scalar]) -> dict[Literal, float]:
        """The least cost of everything that operations bring about from ``state``."""
        name = tuple(sorted(state.items()))
        found = self._bounds.get(name)
        if found is None:
            found = self._bounds[name] = self._spread(state)
        return found

    def _spread(self, state: Mapping[str, Scalar]) -> dict[Literal, float]:
        # A requirement that holds in the state costs nothing and need not be asked again.
        waiting = [
            ([alternatives for c, alternatives in requires if not c.holds(state)], effects, cost)
            for requires, effects, cost in self._operations
        ]
        reach: dict[Literal, float] = {}
        changed = True
        while changed:
            changed = False
            for requires, effects, cost in waiting:
                total = cost
                for alternatives in requires:
                    nearest = min([reach.get(a, _NEVER) for a in alternatives], default=_NEVER)
                    total = max(total, nearest + cost)
                for literal in effects if total < _NEVER else ():
                    if total < reach.get(literal, _NEVER):
                        reach[literal] = total
                        changed = True
        return reach

    def _cost(
        self,
        condition: Condition,
        alternatives: tuple[Literal, ...],
        state: Mapping[str, Scalar],
        reach: Mapping[Literal, float],
    ) -> float:
        if condition.holds(state):
            return 0.0
        return min((reach.get(a, _NEVER) for a in alternatives), default=_NEVER)
