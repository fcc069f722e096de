"""The contract of a tool: one declaration, read by the planner and enforced by the executor.

A tool has four verbs. ``read`` looks whether its effect is there already, ``apply`` brings it about
under an idempotency key, ``verify`` says later whether the promise HOLDS, and ``undo`` names the
tool that takes it back. Long work returns from ``apply`` at once; ``verify`` follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from agents.facts import UNKNOWN, Scalar, check_vocabulary
from agents.memory import TargetMemory
from agents.ports import Desk
from tools.managed_model import ManagedModel
from tools.registry import Fence
from tools.values import Value


class Condition(Value):
    """``fact`` is one of ``values``."""

    fact: str
    values: tuple[Scalar, ...]

    def holds(self, state: Mapping[str, Scalar]) -> bool:
        """Whether it holds; a fact that nobody established is UNKNOWN."""
        return state.get(self.fact, UNKNOWN) in self.values

    def __str__(self) -> str:
        return f"{self.fact} is {' or '.join(str(v) for v in self.values)}"


def is_(fact: str, *values: Scalar) -> Condition:
    """Condition in reading order: ``is_(DATA_TRUST, "trusted")``."""
    for value in values:
        check_vocabulary(fact, value)
    return Condition(fact=fact, values=values)


class Undo(StrEnum):
    """What stands in ``Contract.undo`` when no tool does."""

    NOTHING = "nothing to undo"
    IRREVERSIBLE = "irreversible"


class Cost(Value):
    """What a step is expected to cost; only ratios between steps matter."""

    minutes: float
    """Expected duration."""
    money: float = 0.0
    """Compute, in minutes of one CPU node."""
    risk: float = 0.0
    """Share of the traffic or data that it can touch, 0 to 1, weighted like an hour at 1."""

    @property
    def total(self) -> float:
        """One figure for the search, in minutes; at least a little, so that plans stay short."""
        return max(0.01, self.minutes + self.money + 60.0 * self.risk)


class Contract(Value):
    """What a tool needs, what it brings about, what that costs, and how it is taken back."""

    name: str
    agent: str
    purpose: str
    concern: str
    """``data`` or ``model``: incidents of different concerns on one target do not wait for each
    other, those of one concern queue."""
    undo: str
    """Name of the tool that takes it back, or one of ``Undo``."""
    deadline_s: float
    """Wall-clock seconds after which an unfinished step counts as broken."""
    max_attempts: int = 1
    """How often the same step may fail in one incident."""
    is_per_challenger: bool = False
    """About one challenger: its failures do not count against the next one."""
    is_safe_return: bool = False
    """Leads back to a safe state: budgets, cool-downs and freezes do not hold it up."""
    changes_production: bool = True

    def operation(
        self,
        *,
        requires: tuple[Condition, ...],
        achieves: dict[str, Scalar],
        cost: Cost,
        arguments: dict[str, Scalar] | None = None,
    ) -> Operation:
        """The tool with its arguments filled in."""
        for fact, value in achieves.items():
            check_vocabulary(fact, value)
        return Operation(
            tool=self.name,
            agent=self.agent,
            arguments=arguments or {},
            requires=requires,
            achieves=achieves,
            cost=cost,
            is_safe_return=self.is_safe_return,
        )


class Operation(Value):
    """A tool with its arguments filled in: a move of the planner, a step of a plan."""

    tool: str
    agent: str
    arguments: dict[str, Scalar] = {}
    requires: tuple[Condition, ...]
    achieves: dict[str, Scalar]
    cost: Cost
    is_safe_return: bool = False

    @property
    def name(self) -> str:
        """``tool`` or ``tool(argument=value)``."""
        inside = ", ".join(f"{k}={v}" for k, v in sorted(self.arguments.items()))
        return f"{self.tool}({inside})" if inside else self.tool

    def __hash__(self) -> int:
        return hash((self.name, self.requires, frozenset(self.achieves.items())))

    def unmet(self, state: Mapping[str, Scalar]) -> tuple[Condition, ...]:
        """Requirements that do not hold in ``state``."""
        return tuple(c for c in self.requires if not c.holds(state))


class Holds(StrEnum):
    """Three-valued verification. UNKNOWN waits until the deadline; it is not a failure."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Verification(Value):
    """What ``verify`` found."""

    holds: Holds
    detail: str
    facts: dict[str, Scalar] = {}
    """Facts established on the way, also when it is broken."""
    memory: TargetMemory | None = None
    """The target's memory with what this look added to it, when it did."""
    figures: dict[str, float] = {}
    """Figures behind the verdict, for the journal."""


class Receipt(Value):
    """What ``apply`` did."""

    already: bool = False
    """The effect was there under this key; nothing was done twice."""
    detail: str
    before: dict[str, Scalar] = {}
    after: dict[str, Scalar] = {}
    memory: TargetMemory | None = None


class Call(Value):
    """One call of a tool: what every verb is given besides the ports."""

    model: ManagedModel
    incident: str
    key: str
    token: int
    """Fencing token of the lease that the caller holds."""
    operation: Operation
    started_s: float
    """Monotonic seconds at which the step was first intended."""

    @property
    def fence(self) -> Fence:
        """Whose writes these are, for ports that many targets share."""
        return Fence(target=self.model.target, token=self.token)


class Tool(Protocol):
    """One specialist's tool."""

    contract: Contract

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        """The tool with every sensible set of arguments for this model."""

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        """Bring the effect about, once per key. Raises only the errors of tools/errors.py."""

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        """Look at the world: does the promise hold?"""
