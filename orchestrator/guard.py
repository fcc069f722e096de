"""May this step be taken? Asked of every step while planning, and of the one right before its act.

A denial sends the incident back to the planner, which leaves the step out and says which rule did;
one that may pass by itself makes the incident wait.
"""

from __future__ import annotations

from collections.abc import Iterable

from agents.contract import Operation
from agents.served import Served, look
from orchestrator.guard_context import context_of_target, for_step
from orchestrator.session import Session
from policies.context import GuardContext, PlanContext
from policies.engine import judge
from policies.ruling import Decision, Ruling
from tools.errors import MendloopError, Unavailable
from tools.values import Value


class Judged(Value):
    """A ruling, with all that the rules could read."""

    operation: Operation
    context: GuardContext
    ruling: Ruling

    @property
    def reason(self) -> str:
        """Which rules deny it and why, for people."""
        denying = set(self.ruling.forbidding)
        said = (
            f"{v.policy}: {v.message}"
            for v in self.ruling.verdicts
            if v.policy in denying and v.result == "violated"
        )
        return "; ".join(said)


def rule_on(
    session: Session,
    operation: Operation,
    *,
    incident: str,
    plan: PlanContext,
    attempt: int = 1,
) -> Judged:
    """What the policies in force say about the step, with the values of this moment.

    Raises Unavailable where they deny for want of values that the platform does not give just now:
    the step waits, neither allowed nor ruled out.
    """
    served, silence = _served(session)
    common = context_of_target(session, operation, incident=incident, plan=plan, stage="acting")
    context = for_step(session, common, operation, attempt=attempt, served=served)
    ruling = judge(session.policies, context)
    if silence and ruling.decision is Decision.DENY:
        raise Unavailable(f"{operation.name} waits for the platform: {silence}")
    return Judged(operation=operation, context=context, ruling=ruling)


def forbidden(
    session: Session, operations: Iterable[Operation], *, incident: str, goal: str
) -> dict[str, Judged]:
    """Steps that no plan may contain now, by name.

    Only what a rule forbids on known values: what is not known yet while planning (whether a
    version that does not exist is ready) is asked right before the act.
    """
    found: dict[str, Judged] = {}
    common: GuardContext | None = None
    for operation in operations:
        if common is None:
            plan = PlanContext(goal=goal)
            common = context_of_target(
                session, operation, incident=incident, plan=plan, stage="planning"
            )
        context = for_step(session, common, operation)
        ruling = judge(session.policies, context)
        if ruling.forbidding:
            found[operation.name] = Judged(operation=operation, context=context, ruling=ruling)
    return found


def _served(session: Session) -> tuple[Served | None, str]:
    """What serves the target now, or why the platform does not say."""
    try:
        return look(session.desk, session.model, session.memory), ""
    except Unavailable as error:
        return None, str(error)
    except MendloopError:
        return None, ""
