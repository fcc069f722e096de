"""Makes an incident's decisions again from their recorded inputs, through the code of today.

A decision is a pure function of what was recorded with it: evidence -> diagnosis, facts and
contracts -> plan, context and rules -> ruling, counts -> verdict. Where today's answer differs from
the recorded one, in canonical JSON byte for byte, either mendloop changed or somebody changed what
was written.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import ValidationError

from agents.catalog import all_tools
from agents.contract import Operation
from agents.diagnosis import diagnose
from agents.evidence import Evidence
from agents.memory import TargetMemory
from agents.monitor.canary import judge as judge_canary
from agents.monitor.canary import with_scores
from orchestrator.goals import GOALS, TIDY
from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.journal import Journal
from orchestrator.journal.payloads import (
    DiagnosisMade,
    EvidenceJudged,
    GuardJudged,
    MemorySaved,
    ModelManaged,
    PlanFailed,
    PlanInputs,
    PlanMade,
)
from orchestrator.planner import NoPlan, Plan, make_plan
from orchestrator.reporting import told_diagnosis, told_failure, told_plan
from policies.context import GuardContext
from policies.engine import PolicySet, judge
from tools.managed_model import ManagedModel
from tools.statistics.verdict import Judgement, Verdict
from tools.values import Value, canonical_json

DECISIONS = (
    kinds.DIAGNOSIS_MADE,
    kinds.PLAN_MADE,
    kinds.PLAN_FAILED,
    kinds.GUARD_JUDGED,
    kinds.EVIDENCE_JUDGED,
)


class Replayed(Value):
    """One decision, made again."""

    event: int
    kind: str
    what: str
    result: Literal["same", "different", "not replayed"]
    reason: str = ""
    """Why it was not replayed."""
    diff: tuple[str, ...] = ()
    """Recorded (-) against today (+), line by line."""


class _NotReplayable(Exception):
    """The inputs are not all there; says which."""


Pair = tuple[Value, Value]
"""The recorded decision and today's, in the same shape."""


def replay_incident(
    journal: Journal, incident: str, policies: Mapping[str, PolicySet]
) -> list[Replayed]:
    """Every decision of the incident in order; ``policies`` are those in force, by
    the digest of the rules."""
    found = []
    for event in journal.events(incident=incident, kinds=DECISIONS):
        try:
            recorded, now = _AGAIN[event.kind](journal, event, policies)
        except _NotReplayable as error:
            found.append(_told(event, "not replayed", reason=str(error)))
            continue
        except ValidationError as error:
            reason = f"its inputs have another shape in this version: {error.errors()[0]['msg']}"
            found.append(_told(event, "not replayed", reason=reason))
            continue
        before, after = recorded.model_dump(mode="json"), now.model_dump(mode="json")
        if canonical_json(before) == canonical_json(after):
            found.append(_told(event, "same"))
        else:
            found.append(_told(event, "different", diff=_diff(before, after)))
    return found


def _told(
    event: Event,
    result: Literal["same", "different", "not replayed"],
    *,
    reason: str = "",
    diff: tuple[str, ...] = (),
) -> Replayed:
    content = event.payload
    what = content.get("cause") or content.get("tool") or content.get("question")
    what = what or " -> ".join(step["tool"] for step in content.get("steps", []))
    return Replayed(
        event=event.seq,
        kind=event.kind,
        what=str(what or content.get("goal", "")),
        result=result,
        reason=reason,
        diff=diff,
    )


def _diff(before: object, after: object) -> tuple[str, ...]:
    told = difflib.unified_diff(
        _lines(before), _lines(after), fromfile="recorded", tofile="today", lineterm="", n=1
    )
    return tuple(told)


def _lines(value: object) -> list[str]:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).splitlines()


def _read_or_say(event: Event) -> None:
    if event.missing:
        raise _NotReplayable(f"its payload {event.missing}")


def _diagnosis(journal: Journal, event: Event, policies: Mapping[str, PolicySet]) -> Pair:
    _read_or_say(event)
    made = event.read(DiagnosisMade)
    if not made.evidence:
        raise _NotReplayable("the evidence was not recorded with it")
    now = told_diagnosis(diagnose(Evidence.model_validate(made.evidence)))
    keep = {"cause", "confidence", "reasons", "rivals"}
    return DiagnosisMade(**{name: getattr(made, name) for name in keep}), now


def _plan(journal: Journal, event: Event, policies: Mapping[str, PolicySet]) -> Pair:
    _read_or_say(event)
    made = event.read(PlanMade)
    recorded = made.model_copy(update={"inputs": None, "event_time": ""})
    return recorded, _planned_now(journal, event, made.goal, made.inputs, reason="")


def _failure(journal: Journal, event: Event, policies: Mapping[str, PolicySet]) -> Pair:
    _read_or_say(event)
    failed = event.read(PlanFailed)
    recorded = failed.model_copy(update={"inputs": None, "event_time": ""})
    return recorded, _planned_now(journal, event, failed.goal, failed.inputs, failed.reason)


def _planned_now(
    journal: Journal, event: Event, goal_name: str, inputs: PlanInputs | None, reason: str
) -> Value:
    if inputs is None:
        raise _NotReplayable("nothing was searched for, or its inputs were not recorded")
    goal = next((goal for goal in (*GOALS, TIDY) if goal.name == goal_name), None)
    if goal is None:
        raise _NotReplayable(f"there is no goal {goal_name!r} in this version")
    model = _model(journal, event, inputs.model)
    found: Plan | NoPlan = make_plan(
        goal.name,
        goal.reached_when,
        inputs.facts,
        _operations(model, goal.concern),
        inputs.ruled_out,
    )
    return told_plan(found) if isinstance(found, Plan) else told_failure(found, reason)


def _operations(model: ManagedModel, concern: str) -> list[Operation]:
    return [
        operation
        for tool in all_tools().values()
        if tool.contract.concern == concern
        for operation in tool.operations(model)
    ]


def _ruling(journal: Journal, event: Event, policies: Mapping[str, PolicySet]) -> Pair:
    _read_or_say(event)
    made = event.read(GuardJudged)
    if not made.context:
        raise _NotReplayable("the context was not recorded with it")
    known = policies.get(made.policies)
    if known is None:
        raise _NotReplayable(
            f"it was made under other rules ({made.policies[:12] or 'not named'}) than those in"
            " force; `mendloop policy replay` compares rules"
        )
    return made.ruling, judge(known, GuardContext.model_validate(made.context))


def _evidence(journal: Journal, event: Event, policies: Mapping[str, PolicySet]) -> Pair:
    _read_or_say(event)
    judged = event.read(EvidenceJudged)
    memory = _memory_after(journal, event)
    model = _model(journal, event, "")
    if judged.question.startswith(("judge_canary", "keep_watching")) and memory.canary:
        now = with_scores(judge_canary(model, memory.canary), memory.canary.scores)
        is_late = memory.canary.outcome == "undecided"
    elif judged.question.startswith("watch_probation") and memory.probation:
        now = memory.probation.cohort.judge(alpha=model.spec.evidence.alpha)
        is_late = False
        if now.verdict is Verdict.UNKNOWN and memory.probation.outcome == "passed":
            now = now.model_copy(update={"verdict": Verdict.HEALTHY})  # its time is over
    else:
        raise _NotReplayable("its counts are not among what was remembered")
    reason = judged.reason
    if is_late and reason.endswith(f": {now.reason}"):
        # Past the deadline nothing is decided, and that is taken for harm.
        now = now.model_copy(update={"verdict": Verdict.HARMFUL, "reason": reason})
    recorded = Judgement(verdict=Verdict(judged.verdict), reason=reason, figures=judged.figures)
    return recorded, now


def _memory_after(journal: Journal, event: Event) -> TargetMemory:
    """What was remembered in the same transaction: the counts that were judged."""
    saved = next(
        (
            found
            for found in journal.events(
                target=event.target,
                kinds=[kinds.MEMORY_SAVED],
                after=event.seq,
                until=event.seq + 3,
            )
            if found.at == event.at
        ),
        None,
    )
    if saved is None:
        raise _NotReplayable("no memory was saved with it")
    _read_or_say(saved)
    return TargetMemory.model_validate(saved.read(MemorySaved).memory)


def _model(journal: Journal, event: Event, name: str) -> ManagedModel:
    """The document of that digest, or the newest before the event."""
    known: Sequence[ModelManaged] = [
        found.read(ModelManaged)
        for found in journal.events(
            target=event.target, kinds=[kinds.MODEL_MANAGED], until=event.seq
        )
    ]
    chosen = [model for model in known if name in ("", model.digest)]
    if not chosen:
        raise _NotReplayable("the document of its target was not recorded")
    return ManagedModel.model_validate(chosen[-1].document)


_AGAIN: dict[str, Callable[[Journal, Event, Mapping[str, PolicySet]], Pair]] = {
    kinds.DIAGNOSIS_MADE: _diagnosis,
    kinds.PLAN_MADE: _plan,
    kinds.PLAN_FAILED: _failure,
    kinds.GUARD_JUDGED: _ruling,
    kinds.EVIDENCE_JUDGED: _evidence,
}
