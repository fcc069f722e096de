"""What an incident does while a person has the word: waits for a yes, watches on, or goes back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from agents.contract import Verification
from agents.facts import CANARY, CHALLENGER, SHADOW, SHARE, UNKNOWN, Scalar
from agents.monitor.canary import keep_watching
from agents.monitor.shadow import keep_judging
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
    """What is proved keeps its traffic, or its copies, while it waits: harm must still be seen."""
    for source, look_again in (
        ("monitor.judge_canary", keep_watching),
        ("monitor.judge_shadow", keep_judging),
    ):
        with suppress(MendloopError):  # unknown, and looked at again at the next tick
            found = look_again(session.desk, session.model, session.memory)
            if found is not None:
                _write(state, session, found, source)


def _write(state: State, session: Session, found: Verification, source: str) -> None:
    if found.memory is None:
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
    session.learn(found.facts, source=source)


def must_go_back(session: Session) -> bool:
    """Whether everybody who paused the target wants changes under way to be taken back."""
    return session.kill_switch.wants_back(session.target)


def is_half_way(session: Session) -> bool:
    """Whether a challenger has traffic or copies of it, or was refused and is not taken down."""
    facts = session.state.values()
    has_copies = facts[SHADOW] not in ("none", UNKNOWN)
    return facts[SHARE] not in (0, UNKNOWN) or has_copies or facts[CHALLENGER] == "refused"


def end_canary(state: State, session: Session) -> None:
    """Traffic, or copies of it, that nobody may or can judge any more is undecided and ends."""
    canary, shadow = session.memory.canary, session.memory.shadow
    memory, facts = session.memory, dict[str, Scalar]()
    if canary is not None and canary.outcome == "watching":
        ended = canary.model_copy(update={"outcome": "undecided"})
        memory, facts = memory.model_copy(update={"canary": ended}), {CANARY: "undecided"}
    if shadow is not None and session.state.value(SHADOW) in ("watching", "passed"):
        over = shadow.model_copy(update={"outcome": "undecided"})
        memory = memory.model_copy(update={"shadow": over})
        facts[SHADOW] = "undecided"
    if not facts:
        return
    session.remember(memory, [], incident=state["incident"])
    session.learn(facts, source="orchestrator.plan")


def sleep(state: State, session: Session, reason: str, *, because: str) -> State:
    """Sleep; said once per thing waited for, or a long wait would fill the journal."""
    if state.get("waiting_for") != because:
        reporting.write_waiting(session, state["incident"], reason)
    return {"next": "wait", "wait_reason": reason, "waiting_for": because}
