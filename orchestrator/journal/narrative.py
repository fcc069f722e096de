"""Tells an event in the words of an operator: what happened, and why, one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from orchestrator.journal import interventions, kinds, payloads
from orchestrator.journal.event import Event
from tools.values import Value, canonical_json


class Told(Value):
    """One event for people."""

    what: str
    why: tuple[str, ...] = ()


def tell(event: Event) -> Told:
    """The event in words; one of an unknown shape is told as its raw payload."""
    if event.missing:
        return Told(what=event.kind, why=(f"its payload {event.missing}",))
    model, words = payloads.PAYLOADS.get(event.kind), _WORDS.get(event.kind)
    if model is None or words is None:
        return _raw(event)
    try:
        told = words(event.read(model))
    except ValidationError:
        return _raw(event)
    return Told(
        what=_printable(told.what), why=tuple(_printable(reason) for reason in told.why if reason)
    )


def _raw(event: Event) -> Told:
    return Told(what=event.kind, why=(_printable(canonical_json(event.payload)),))


def _printable(text: str) -> str:
    """Without control characters: names and messages come from outside, terminals obey them."""
    return "".join(c if c.isprintable() else " " for c in text)


def _arguments(arguments: dict[str, Any]) -> str:
    return f"({', '.join(f'{k}={v}' for k, v in sorted(arguments.items()))})" if arguments else ""


def _figures(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in sorted(figures.items()))


def _chain(steps: tuple[payloads.PlannedStep, ...]) -> str:
    return " -> ".join(f"{step.tool}{_arguments(step.arguments)}" for step in steps)


def _diagnosed(made: payloads.DiagnosisMade) -> Told:
    rivals = tuple(f"rather than {r.cause}: {r.reason}" for r in made.rivals)
    what = f"diagnosis: {made.cause} ({made.confidence:.0%} confident)"
    return Told(what=what, why=(*made.reasons, *rivals))


def _planned(made: payloads.PlanMade) -> Told:
    runner_up = f"instead of {_chain(made.runner_up)}" if made.runner_up else ""
    rejected = tuple(f"not {r.tool}: {r.reason}" for r in made.rejected)
    what = f"plan (cost {made.cost:g}): {_chain(made.steps) or 'nothing to do'}"
    return Told(what=what, why=(f"so that {made.goal}", runner_up, *rejected))


def _unplanned(failed: payloads.PlanFailed) -> Told:
    rejected = tuple(f"not {r.tool}: {r.reason}" for r in failed.rejected)
    return Told(what=f"no plan reaches the goal: {failed.goal}", why=(failed.reason, *rejected))


def _judged(judged: payloads.GuardJudged) -> Told:
    ruling = judged.ruling
    decision = ruling.decision.value.replace("_", " ")
    passed = sum(1 for v in ruling.verdicts if v.result == "passed")
    why = ruling.reasons or (f"{passed} rules passed",)
    what = f"guardrails on {judged.tool} ({judged.stage}): {decision}"
    return Told(what=what, why=(*why, *(f"warning: {w}" for w in ruling.warnings)))


def _requested(asked: payloads.ApprovalRequested) -> Told:
    until = f" until {asked.expires_at}" if asked.expires_at else ""
    what = f"approval {asked.approval} needed for {asked.tool}{_arguments(asked.arguments)}{until}"
    again = f"instead of {asked.replaces}: {'; '.join(asked.changed)}" if asked.replaces else ""
    return Told(what=what, why=(*asked.reasons, again))


def _expired(late: interventions.ApprovalExpired) -> Told:
    words = {
        "undo": "what is half-way goes back to the safe state",
        "escalate": "asked once more, then what is half-way goes back",
        "wait": "asked again; nothing is changed meanwhile",
    }
    whom = f" ({late.contact})" if late.contact else ""
    what = f"nobody answered request {late.approval} for {late.tool}{whom}"
    return Told(what=what, why=(words.get(late.then, late.then),))


def _taken_over(taken: interventions.TargetTakenOver) -> Told:
    who = f"by {taken.by}" if taken.by else "by somebody else's change"
    return Told(what=f"taken over {who}; mendloop stands down", why=(taken.reason, *taken.seen))


def _paused(paused: interventions.TargetPaused) -> Told:
    back = "; changes under way go back" if paused.in_flight == "go-back" else ""
    return Told(what=f"paused by {paused.by}{back}", why=(paused.reason,))


def _intended(step: payloads.StepIntended) -> Told:
    again = f", attempt {step.attempt}" if step.attempt > 1 else ""
    what = f"step {step.step}: {step.tool}{_arguments(step.arguments)}{again}"
    return Told(what=what, why=(f"undo: {step.undo}" if step.undo else "",))


def _evidence(judged: payloads.EvidenceJudged) -> Told:
    what = f"evidence on {judged.question}: {judged.verdict}"
    return Told(what=what, why=(judged.reason, _figures(judged.figures)))


def _split(split: dict[str, int]) -> str:
    return ", ".join(f"v{version} {percent} %" for version, percent in sorted(split.items()))


def _shifted(shifted: payloads.TrafficShifted) -> Told:
    what = f"traffic of {shifted.route}: {_split(shifted.before)} -> {_split(shifted.after)}"
    return Told(what=what, why=(shifted.reason,))


def _observed(seen: payloads.WindowObserved) -> Told:
    facts = ", ".join(f"{k} {v}" for k, v in sorted(seen.facts.items()))
    what = f"window {seen.start} to {seen.end}: {seen.rows} rows, {seen.labelled} labelled"
    return Told(what=what, why=(facts,))


def _waits(waiting: payloads.IncidentWaiting) -> Told:
    until = f" until {waiting.until}" if waiting.until else ""
    return Told(what=f"waits{until}", why=(waiting.reason,))


def _started(started: payloads.ControllerStarted) -> Told:
    taken_over = ", ".join(started.recovered)
    why = (f"takes over {taken_over}",) if taken_over else ()
    return Told(what=f"controller {started.holder} started", why=why)


def _followed(payload: Any) -> Told:
    moved = {"added": payload.added, "changed": payload.changed, "removed": payload.removed}
    why = tuple(f"{how}: {', '.join(names)}" for how, names in moved.items() if names)
    return Told(what=f"{payload.models} models are kept", why=why)


_WORDS: dict[str, Callable[[Any], Told]] = {
    kinds.CONTROLLER_STARTED: _started,
    kinds.CONTROLLER_STOPPED: lambda p: Told(
        what=f"controller {p.holder} stopped", why=(p.reason,)
    ),
    kinds.LEASE_ACQUIRED: lambda p: Told(what=f"lease taken by {p.holder}, token {p.token}"),
    kinds.LEASE_LOST: lambda p: Told(
        what=f"lease lost by {p.holder}, token {p.token}", why=(p.reason,)
    ),
    kinds.WINDOW_OBSERVED: _observed,
    kinds.ALERT_FIRED: lambda p: Told(what=f"alert {p.name} fires", why=(p.summary,)),
    kinds.ALERT_RESOLVED: lambda p: Told(what=f"alert {p.name} is over", why=(p.summary,)),
    kinds.INCIDENT_OPENED: lambda p: Told(what=f"incident opened: {p.trigger}", why=(p.summary,)),
    kinds.INCIDENT_MERGED: lambda p: Told(what=f"another trigger: {p.trigger}", why=(p.summary,)),
    kinds.DIAGNOSIS_MADE: _diagnosed,
    kinds.PLAN_MADE: _planned,
    kinds.PLAN_FAILED: _unplanned,
    kinds.GUARD_JUDGED: _judged,
    kinds.APPROVAL_REQUESTED: _requested,
    kinds.APPROVAL_GIVEN: lambda p: Told(what=f"approval {p.approval} given by {p.by}"),
    kinds.APPROVAL_REJECTED: lambda p: Told(
        what=f"approval {p.approval} rejected by {p.by}", why=(p.reason,)
    ),
    kinds.STEP_INTENDED: _intended,
    kinds.STEP_OUTCOME: lambda p: Told(what=f"{p.tool}: {p.result}", why=(p.detail,)),
    kinds.STEP_VERIFIED: lambda p: Told(what=f"{p.tool} verified: {p.verdict}", why=(p.detail,)),
    kinds.EVIDENCE_JUDGED: _evidence,
    kinds.TRAFFIC_SHIFTED: _shifted,
    kinds.JOURNAL_KEYED: lambda p: Told(what=f"checkpoints are signed by {p.verifier}"),
    kinds.MODEL_MANAGED: lambda p: Told(what=f"kept by document {p.digest[:12]}"),
    kinds.JOURNAL_PRUNED: lambda p: Told(
        what=f"{len(p.payloads)} payloads from before {p.before} were pruned", why=(p.reason,)
    ),
    kinds.JOURNAL_SEALED: lambda p: Told(what=f"events {p.first} to {p.last} sealed in {p.file}"),
    kinds.INCIDENT_WAITING: _waits,
    kinds.INCIDENT_RESUMED: lambda p: Told(what="resumed", why=(p.reason,)),
    kinds.INCIDENT_RESOLVED: lambda p: Told(what=f"resolved: {p.outcome}", why=(p.summary,)),
    kinds.INCIDENT_ESCALATED: lambda p: Told(what=f"escalated: {p.outcome}", why=(p.summary,)),
    kinds.APPROVAL_USED: lambda p: Told(what=f"approval {p.approval} of {p.by} is used up"),
    kinds.APPROVAL_INVALIDATED: lambda p: Told(
        what=f"approval {p.approval} is good no more", why=p.changed
    ),
    kinds.APPROVAL_EXPIRED: _expired,
    kinds.TARGET_TAKEN_OVER: _taken_over,
    kinds.TARGET_HANDED_BACK: lambda p: Told(what=f"handed back by {p.by}", why=(p.reason,)),
    kinds.PREDICTIONS_PRUNED: lambda p: Told(
        what=f"{p.rows:,} predictions from before {p.before} pruned by {p.by}", why=(p.reason,)
    ),
    kinds.BASELINE_ACCEPTED: lambda p: Told(
        what="what was found counts as mendloop's own from here on", why=p.notes
    ),
    kinds.TARGET_PAUSED: _paused,
    kinds.AUTONOMY_CHANGED: lambda p: Told(
        what=f"autonomy {p.cause}: {p.before} -> {p.after}", why=(p.reason,)
    ),
    kinds.POLICIES_LOADED: lambda p: Told(
        what=f"rules {p.digest[:12]} in force: {len(p.names)} documents"
    ),
    kinds.POLICIES_REJECTED: lambda p: Told(
        what=f"changed rules are broken; {p.digest[:12]} stay in force", why=(p.error,)
    ),
    kinds.MODELS_FOLLOWED: _followed,
    kinds.MODELS_REJECTED: lambda p: Told(
        what="broken model documents; those before stay in force",
        why=tuple(f"{place}: {error}" for place, error in sorted(p.errors.items())),
    ),
    kinds.TARGET_RESUMED: lambda p: Told(what=f"resumed by {p.by}", why=(p.reason,)),
}
