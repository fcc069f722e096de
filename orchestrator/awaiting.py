"""What an incident does while a person has the word: waits for a yes, watches on, or goes back."""

from __future__ import annotations

from typing import Any

from agents.facts import CANARY, CHALLENGER, SHARE, UNKNOWN
from agents.monitor.canary import keep_watching
from orchestrator import asking, reporting
from orchestrator.journal import kinds
from orchestrator.journal.payloads import EvidenceJudged
from orchestrator.recorder import Line
from orchestrator.session import Session
from orchestrator.steps import StepRecord
from policies.ruling import Ruling
from tools.errors import MendloopError

State = dict[str, Any]


def approval(state: State, session: Session, step: StepRecord, ruling: Ruling) -> State:
    """Ask, or take the answer; what follows for the thread.

    ``ruled_out`` in the change says that this way is closed, and why.
    """
    standing = asking.ask(session, step, ruling)
    match standing.status:
        case "pending":
            watch_on(state, session)
            return {"next": "approve", "approval": standing.approval}
        case "given" | "used":
            session.permitted = step.key
            session.approval = asking.use_of(standing, step)
            return {"next": "act"}
        case "invalidated":
            return {"next": "observe", "step": {}}
        case "rejected":
            return {"closed": f"rejected by {standing.by}: {standing.reason}"}
        case "expired":
            reason = f"nobody answered request {standing.approval} in time"
            return {"closed": reason, "giving_up": reason}


def unasked(state: State, session: Session, step: StepRecord) -> State:
    """The step may act; a question that stood about it is taken back."""
    if state.get("approval"):
        asking.withdraw(session, step, "no rule asks for it any more")
    return {"next": "act", "approval": ""}


def watch_on(state: State, session: Session) -> None:
    """A canary whose step is proved keeps its traffic while it waits: harm must still be seen."""
    try:
        found = keep_watching(session.desk, session.model, session.memory)
    except MendloopError:
        return  # unknown, and looked at again at the next tick
    if found is None or found.memory is None:
        return
    lines: list[Line] = []
    if found.facts:
        judged = EvidenceJudged(
            question="keep_watching",
            verdict="harmful",
            reason=found.detail,
            figures=found.figures,
            event_time=session.event_time,
        )
        lines.append((kinds.EVIDENCE_JUDGED, "monitor", judged))
    session.remember(found.memory, lines, incident=state["incident"])
    session.learn(found.facts, source="monitor.judge_canary")


def must_go_back(session: Session) -> bool:
    """Whether everybody who paused the target wants changes under way to be taken back."""
    return session.kill_switch.wants_back(session.target)


def is_half_way(session: Session) -> bool:
    """Whether a challenger has traffic, or was refused and is not taken down yet."""
    facts = session.state.values()
    return facts[SHARE] not in (0, UNKNOWN) or facts[CHALLENGER] == "refused"


def end_canary(state: State, session: Session) -> None:
    """Traffic that nobody may or can judge any more is undecided, and goes back."""
    watch = session.memory.canary
    if watch is None or watch.outcome != "watching":
        return
    ended = watch.model_copy(update={"outcome": "undecided"})
    memory = session.memory.model_copy(update={"canary": ended})
    session.remember(memory, [], incident=state["incident"])
    session.learn({CANARY: "undecided"}, source="orchestrator.plan")


def sleep(state: State, session: Session, reason: str, *, because: str) -> State:
    """Sleep; said once per thing waited for, or a long wait would fill the journal."""
    if state.get("waiting_for") != because:
        reporting.write_waiting(session, state["incident"], reason)
    return {"next": "wait", "wait_reason": reason, "waiting_for": because}
