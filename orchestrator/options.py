"""What may be done about a goal now: every step of the tools, less what is ruled out, with reasons.

Three things close a step: an attempt that failed and a guardrail that denies for good (until the
incident ends), and a guardrail that denies for now. Only the last one is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.contract import Condition, Operation
from agents.facts import Scalar
from orchestrator.goals import Goal
from orchestrator.guard import Judged, forbidden
from orchestrator.planner import NoPlan, Plan, make_plan, search
from orchestrator.session import Session


@dataclass(frozen=True)
class Options:
    """The steps of one concern, and what closes them."""

    operations: Sequence[Operation]
    closed: Mapping[str, str]
    """Name -> why it is not considered any more in this incident."""
    held: Mapping[str, str]
    """Name -> which rule holds it up for now."""
    forbidden: Mapping[str, Judged]
    """Name -> what the guardrails said while planning; part of the two above."""

    def plan(self, goal: Goal, facts: Mapping[str, Scalar]) -> Plan | NoPlan:
        """The cheapest way that nothing forbids."""
        return make_plan(
            goal.name, goal.reached_when, facts, self.operations, {**self.closed, **self.held}
        )

    def waits_for(self, goal: Goal, facts: Mapping[str, Scalar]) -> dict[str, str]:
        """What holds up the way that would be open otherwise; empty when there is none."""
        return self._on_the_way(goal.reached_when, facts, besides=self.closed)

    def in_the_way(self, goal: Goal, facts: Mapping[str, Scalar]) -> dict[str, str]:
        """What closes the way that would be taken if nothing was forbidden or had failed."""
        return self._on_the_way(goal.reached_when, facts, besides={})

    def _on_the_way(
        self,
        wanted: Sequence[Condition],
        facts: Mapping[str, Scalar],
        *,
        besides: Mapping[str, str],
    ) -> dict[str, str]:
        usable = sorted((o for o in self.operations if o.name not in besides), key=lambda o: o.name)
        way = search(wanted, dict(facts), usable) or ()
        reasons = {**self.closed, **self.held}
        return {step.name: reasons[step.name] for step in way if step.name in reasons}


def options_of(
    session: Session,
    goal: Goal,
    *,
    incident: str,
    ruled_out: Mapping[str, str],
    denied: Mapping[str, str],
) -> Options:
    """The steps that bear on ``goal``. ``ruled_out`` and ``denied`` are what the incident learned;
    what the guardrails forbid is asked anew."""
    operations = [
        operation
        for tool in session.tools.values()
        if tool.contract.concern == goal.concern
        for operation in tool.operations(session.model)
    ]
    found = forbidden(session, operations, incident=incident, goal=goal.name)
    for_good = {n: j.reason for n, j in found.items() if not j.ruling.is_transient}
    for_now = {n: j.reason for n, j in found.items() if j.ruling.is_transient}
    return Options(
        operations=operations,
        closed={**for_good, **ruled_out},
        held={**denied, **for_now},
        forbidden=found,
    )
