"""What happens at each node of an incident's thread. Each returns only what it changes.

Every node reads the session (world, facts, memory) and may be run again after a crash: what it
writes to the journal is keyed or repeats itself harmlessly, and the acts are idempotent.
"""

from __future__ import annotations

from typing import Any

from agents.contract import Holds, Operation
from agents.diagnosis import diagnose as explain
from agents.facts import (
    CANARY,
    CAUSE,
    CHAMPION,
    DATA_TRUST,
    REFRESH,
    RETRAINING,
    SERVICE,
    SHARE,
    UNKNOWN,
)
from agents.monitor.diagnose import diagnosed_facts, gather
from agents.monitor.service import BROKEN
from orchestrator import asking, autonomy, awaiting, reporting
from orchestrator.goals import RELEASE_DECIDED, TIDY, TRIED, Goal, comes_first, goal_named
from orchestrator.guard import rule_on
from orchestrator.options import Options, options_of
from orchestrator.planner import NoPlan, Plan
from orchestrator.reporting import GAVE_WAY, TAKEN_OVER
from orchestrator.ruling_out import counted, denied, rule_out, taken_back
from orchestrator.session import Session
from orchestrator.steps import Acted, StepRecord, check, is_answered, is_begun, new_step
from orchestrator.steps import act as carry_out
from orchestrator.take_over import holder_of, note_taken_over
from policies.context import PlanContext
from policies.ruling import Decision

State = dict[str, Any]
MAX_STEPS = 60
"""Steps of one incident after which a person is asked: a loop is never left running."""
_PROMOTING = {"promote": True, "switch_back": False}
"""Tools after which the incident has a promotion to show, or has one no more."""
_NO_WAY_BACK = "what is half-way cannot be taken back just now"
TIDYING_STEPS = 6
"""Steps beyond those that may be spent on leaving nothing half-way."""


def recall(state: State, session: Session) -> None:
    """What this incident's thread knows: the session may be new, or know another incident's."""
    diagnosed = {
        CAUSE: state.get("cause") or UNKNOWN,
        RETRAINING: state.get("retraining") or UNKNOWN,
    }
    session.learn(diagnosed, source="monitor.explain_drift")


def observe(state: State, session: Session) -> State:
    """Read the world again; decide whether the incident is over."""
    edited = session.look().route.edited
    if edited:
        note_taken_over(session, (f"the route was edited: {edited}",))
        return {"next": "close", "outcome": TAKEN_OVER}
    goal = _goal(state)
    if state.get("step"):
        return {"next": "verify"}
    if state.get("giving_up"):
        return {"next": "plan"}
    if _is_over(state, session, goal):
        return {"next": "close", "outcome": "resolved"}
    if goal.gives_way and comes_first(session.state.values(), goal):
        return {"next": "close", "outcome": GAVE_WAY}
    if _is_given_up(state, session):
        return _escalate(f"{MAX_STEPS} steps did not reach the goal")
    facts = session.state.values()
    is_proved = facts[CANARY] == "harmful" or facts[CHAMPION] == "broken"
    is_asked_why = goal.needs_cause or is_proved or facts[SERVICE] in BROKEN
    if is_asked_why and not state.get("cause"):
        return {"next": "diagnose"}
    return {"next": "plan"}


def diagnose(state: State, session: Session) -> State:
    """Ask the monitor for the cause, once per incident, and write down reasons and rivals."""
    evidence = gather(
        session.desk,
        session.model,
        session.memory,
        session.event_time,
        session.peers(),
        session.pulse,
    )
    found = explain(evidence)
    facts = diagnosed_facts(found)
    session.learn(facts, source="monitor.explain_drift")
    reporting.write_diagnosis(session, state["incident"], found, evidence)
    return {"next": "plan", "cause": facts[CAUSE], "retraining": facts[RETRAINING]}


def plan(state: State, session: Session) -> State:
    """Choose the next step: the first of the cheapest plan that is not forbidden."""
    goal = _goal(state)
    giving_up, is_model = state.get("giving_up", ""), goal.concern == "model"
    if giving_up and not (is_model and awaiting.is_half_way(session)):
        return _escalate(giving_up)
    is_last = state.get("steps_taken", 0) >= MAX_STEPS
    options = _options(state, session, goal)
    said = {"forbidden": reporting.write_forbidden(session, state, options.forbidden)}
    held: dict[str, str] = {}
    if is_model and (giving_up or _goes_back(session)):
        awaiting.end_canary(state, session)
        chosen = _tidy(session, options) or NoPlan(goal=goal.name, missing=(_NO_WAY_BACK,))
    else:
        chosen = options.plan(goal, session.state.values())
        if isinstance(chosen, NoPlan):
            held = options.waits_for(goal, session.state.values())
        if is_model and (is_last or isinstance(chosen, NoPlan)):
            if not held:
                awaiting.end_canary(state, session)
            chosen = _tidy(session, options) or chosen
    if isinstance(chosen, NoPlan):
        return said | _without_plan(state, session, chosen, options, held)
    if not chosen.steps:  # cut off before this node, and the world mended itself meanwhile
        return {"next": "observe", **said}
    names = [step.name for step in chosen.steps]
    if names != state.get("plan", [])[-len(names) :]:
        reporting.write_plan(session, state["incident"], chosen)
    return {"plan": names, **said, **_begin(state, session, chosen.steps[0])}


def guard(state: State, session: Session) -> State:
    """Judge the step with the values of this moment, right before the act."""
    step = StepRecord.model_validate(state["step"])
    if holder_of(session.recorder.journal, session.target) != "mendloop":
        return {"next": "close", "outcome": TAKEN_OVER}
    goal, begun = _goal(state), is_begun(session, step)
    if goal.gives_way and comes_first(session.state.values(), goal) and not begun:
        asking.withdraw(session, step, "something is wrong meanwhile, and comes first")
        return {"next": "close", "outcome": GAVE_WAY}
    autonomy.review(session, incident=step.incident)
    plan = PlanContext(goal=state["goal"], tools=tuple(state.get("plan", ())))
    judged = rule_on(
        session, step.operation, incident=step.incident, plan=plan, attempt=step.attempt
    )
    ruling = judged.ruling
    reason = "; ".join(ruling.reasons) or ruling.decision.value
    said = f"{step.key}: {reason}"  # the same reason about another step is another ruling
    if said != state.get("last_ruling") or ruling.decision is Decision.ALLOW:
        reporting.write_ruling(session, step, judged)
    change = {"last_ruling": said}
    match ruling.decision:
        case Decision.ALLOW:
            session.permitted = step.key
            return change | awaiting.unasked(state, session, step)
        case Decision.REQUIRE_APPROVAL:
            found = awaiting.approval(state, session, step, ruling)
            if "closed" not in found:
                return change | found
            closed = found.pop("closed")
            return change | found | rule_out(state, session, step, closed, for_good=True)
        case Decision.DENY:
            return change | denied(state, session, step, ruling, reason)


def act(state: State, session: Session) -> State:
    """Carry the step out under its key."""
    step = StepRecord.model_validate(state["step"])
    permitted, session.permitted = session.permitted, ""
    if permitted != step.key:
        return {"next": "guard"}  # cut off in between: the values of that moment have passed
    acted, detail = carry_out(session, step)
    match acted:
        case Acted.DONE:
            return {"next": "verify"}
        case Acted.AGAIN:
            return awaiting.sleep(state, session, detail, because=step.key)
        case Acted.LATE if session.tools[step.operation.tool].contract.is_safe_return:
            return rule_out(state, session, step, detail, for_good=False)
        case Acted.LATE | Acted.BLOCKED:
            return rule_out(state, session, step, detail, for_good=True)


def verify(state: State, session: Session) -> State:
    """Ask whether the step's promise holds; unknown sleeps, broken plans again."""
    step = StepRecord.model_validate(state["step"])
    if not is_answered(session, step):
        return {"next": "guard"}
    if _goes_back(session) and not session.tools[step.operation.tool].contract.changes_production:
        return {"next": "observe", "step": {}}  # nothing is judged or awaited any more
    found = check(session, step)
    match found.holds:
        case Holds.HOLDS:
            change: State = {"next": "observe", "step": {}, "attempts": counted(state, step)}
            if step.operation.tool in _PROMOTING:
                change["has_promoted"] = _PROMOTING[step.operation.tool]
            if REFRESH in step.operation.achieves:
                change["has_refreshed"] = True
            return change | taken_back(state, session, step)
        case Holds.UNKNOWN if _gives_way(session, step):
            return {"next": "observe", "step": {}, "attempts": counted(state, step)}
        case Holds.UNKNOWN:
            return awaiting.sleep(state, session, found.detail, because=step.key)
        case Holds.BROKEN:
            return rule_out(state, session, step, found.detail, for_good=False)


def close(state: State, session: Session) -> State:
    """Write how it ended. Nothing follows."""
    reporting.write_end(
        session, state["incident"], state.get("outcome", ""), state.get("wait_reason", "")
    )
    return {"next": "end"}


def _goal(state: State) -> Goal:
    return TRIED if state.get("has_refreshed") else goal_named(state["goal"])


def _gives_way(session: Session, step: StepRecord) -> bool:
    """A probation lasts days: users who get no answers do not wait for its end."""
    is_failing = session.state.value(SERVICE) in BROKEN
    return step.operation.tool == "watch_probation" and is_failing


def _is_over(state: State, session: Session, goal: Goal) -> bool:
    """Whether the goal is reached, or the incident has done what one incident may do.

    A challenger that was promoted and came through its probation ends the incident even when it
    wears out at once: that is new evidence, for a new incident, with new data, under the cool-down.
    """
    facts = session.state.values()
    if not goal.unmet(facts):
        return True
    return bool(state.get("has_promoted")) and not RELEASE_DECIDED.unmet(facts)


def _options(state: State, session: Session, goal: Goal) -> Options:
    return options_of(
        session,
        goal,
        incident=state["incident"],
        ruled_out=state.get("ruled_out", {}),
        denied=state.get("denied", {}),
    )


def _tidy(session: Session, options: Options) -> Plan | None:
    """Before giving up: no challenger, no canary, no probation is left half-way."""
    found = options.plan(TIDY, session.state.values())
    return found if isinstance(found, Plan) and found.steps else None


def _is_given_up(state: State, session: Session) -> bool:
    """Past the last step, once nothing is left half-way or that too does not succeed."""
    over = state.get("steps_taken", 0) - MAX_STEPS
    is_tidy = not TIDY.unmet(session.state.values())
    is_model = _goal(state).concern == "model"
    return over >= 0 and (is_tidy or not is_model or over >= TIDYING_STEPS)


def _goes_back(session: Session) -> bool:
    """Whether a pause wants what is half-way to be taken back, and something is."""
    return awaiting.must_go_back(session) and awaiting.is_half_way(session)


def _begin(state: State, session: Session, operation: Operation) -> State:
    number = state.get("steps_taken", 0) + 1
    step = new_step(
        session,
        operation,
        incident=state["incident"],
        number=number,
        attempt=state.get("attempts", {}).get(operation.name, 0) + 1,
    )
    return {"next": "guard", "step": step.model_dump(mode="json"), "steps_taken": number}


def _without_plan(
    state: State, session: Session, failed: NoPlan, options: Options, held: dict[str, str]
) -> State:
    """Wait where something outside may open the way again; otherwise a person is needed."""
    blocking = held or options.in_the_way(_goal(state), session.state.values())
    told = [f"{name}: {reason}" for name, reason in sorted(blocking.items())]
    reason = "; ".join([f"no way to '{failed.goal}': {'; '.join(failed.missing)}", *told])
    because = " ".join(sorted(held)) or "no plan"
    if state.get("waiting_for") != because:
        reporting.write_no_plan(session, state["incident"], failed, reason)
    facts = session.state.values()
    is_down = facts[SERVICE] == "starting" or (facts[SERVICE] == "down" and facts[SHARE] != 0)
    if held or is_down or facts[DATA_TRUST] != "trusted":
        awaiting.watch_on(state, session)
        return awaiting.sleep(state, session, reason, because=because)
    return _escalate(reason)


def _escalate(reason: str) -> State:
    return {"next": "close", "outcome": "escalated", "wait_reason": reason}
