"""Goals: what must be true of a target, most urgent first, and when each counts as broken."""

from __future__ import annotations

from agents.contract import Condition, is_
from agents.facts import (
    CANARY,
    CHALLENGER,
    CHAMPION,
    DATA_TRUST,
    FORMER,
    INPUTS,
    QUALITY,
    QUARANTINE,
    REFRESH,
    SERVICE,
    SHADOW,
    SHARE,
    SPARES,
    UNKNOWN,
    Scalar,
)
from tools.values import Value


class Goal(Value):
    """One promise about a target.

    It is broken when a ``broken_when`` condition holds (UNKNOWN breaks nothing) and reached when
    all of ``reached_when`` hold. The gap between the two is deliberate: a repair is finished only
    when everything it put up has been taken down again.
    """

    name: str
    concern: str
    purpose: str
    broken_when: tuple[Condition, ...]
    reached_when: tuple[Condition, ...]
    trigger: str
    """What sets an incident off, in one word for lists."""
    needs_cause: bool = False
    """Whether a person would ask why it is broken; the way to it may depend on the answer."""
    gives_way: bool = False
    """Nothing is wrong: until its work has begun, any other goal of the concern comes first."""

    def is_broken(self, state: dict[str, Scalar]) -> bool:
        """Whether the target needs work for this goal."""
        return any(condition.holds(state) for condition in self.broken_when)

    def unmet(self, state: dict[str, Scalar]) -> tuple[Condition, ...]:
        """What is still missing."""
        return tuple(c for c in self.reached_when if not c.holds(state))


_ANSWERS = is_(SERVICE, "answers", UNKNOWN)
_TIDY = (
    is_(CHALLENGER, "none"),
    is_(SHARE, 0),
    is_(CANARY, "none"),
    is_(SHADOW, "none", UNKNOWN),
    is_(CHAMPION, "settled"),
    is_(FORMER, "none"),
    is_(SPARES, "none", UNKNOWN),
)

DATA_TRUSTED = Goal(
    name="the data is trusted",
    concern="data",
    purpose="Predictions and training rest on inputs that are what they claim to be.",
    trigger="data_validation",
    broken_when=(is_(DATA_TRUST, "faulty"), is_(INPUTS, "fallback"), is_(QUARANTINE, "pending")),
    reached_when=(is_(DATA_TRUST, "trusted"), is_(INPUTS, "raw"), is_(QUARANTINE, "none", "done")),
    needs_cause=True,
)
SERVICE_ANSWERS = Goal(
    name="the service answers",
    concern="model",
    purpose="Requests to the champion are answered, and in time.",
    trigger="service",
    broken_when=(is_(SERVICE, "failing", "down", "slow"),),
    reached_when=(_ANSWERS, *_TIDY),
    needs_cause=True,
)
RELEASE_DECIDED = Goal(
    name="the release is decided",
    concern="model",
    purpose="A challenger is either the champion, proved not to harm, or gone.",
    trigger="new_challenger",
    broken_when=(
        is_(CHALLENGER, "registered", "ready", "refused"),
        is_(CANARY, "watching", "harmful", "undecided"),
        is_(SHADOW, "watching", "passed", "harmful", "undecided"),
        is_(CHAMPION, "probation", "broken"),
        is_(FORMER, "warm"),
        is_(SPARES, "idle"),
    ),
    reached_when=(_ANSWERS, *_TIDY),
)
QUALITY_MET = Goal(
    name="the served model meets its objectives",
    concern="model",
    purpose="Its loss on matured labels stays within tolerance.",
    trigger="performance",
    broken_when=(is_(QUALITY, "degraded"),),
    reached_when=(is_(QUALITY, "meets", UNKNOWN), _ANSWERS, *_TIDY),
    needs_cause=True,
)
REFRESHED = Goal(
    name="the model is as fresh as asked",
    concern="model",
    purpose="A challenger has been tried at the times, or after the rows, that the document names.",
    trigger="refresh",
    broken_when=(is_(REFRESH, "due"),),
    reached_when=(is_(REFRESH, "none", UNKNOWN), _ANSWERS, *_TIDY),
    gives_way=True,
)
TRIED = REFRESHED.model_copy(update={"broken_when": (), "reached_when": (_ANSWERS, *_TIDY)})
"""What is left of it once an incident's training was answered: to decide what came of it. What
falls due meanwhile is for the next incident."""
TIDY = Goal(
    name="nothing is left half-way",
    concern="model",
    purpose="Before giving up: no challenger, no canary, no probation is left to itself.",
    trigger="",
    broken_when=(),
    reached_when=_TIDY,
)
"""Opens no incident; the last thing that one does."""

GOALS = (DATA_TRUSTED, SERVICE_ANSWERS, RELEASE_DECIDED, QUALITY_MET, REFRESHED)


def goal_named(name: str) -> Goal:
    """The goal with this name."""
    return next(goal for goal in GOALS if goal.name == name)


def comes_first(state: dict[str, Scalar], goal: Goal) -> bool:
    """Whether something is wrong that is not this goal's own work; that has not begun while the
    goal is broken. It opens again afterwards, if it still is."""
    others = (other for other in GOALS if other.concern == goal.concern and other is not goal)
    return goal.is_broken(state) and any(other.is_broken(state) for other in others)
