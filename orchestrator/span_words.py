"""What an event of the journal is called as a span of a trace, and where that span begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from tools.values import Value, canonical_json

_GOOD = ("applied", "already")


class Told(Value):
    """One span; ``start`` and ``end`` are ISO 8601, ids are the journal's."""

    name: str
    span: str
    parent: str
    """Empty for the incident itself."""
    start: str
    end: str
    attributes: Mapping[str, str | float | bool]
    fault: str = ""
    """Why it counts as failed; empty when it does not."""


SPANS = frozenset(
    {
        kinds.DIAGNOSIS_MADE,
        kinds.PLAN_MADE,
        kinds.PLAN_FAILED,
        kinds.GUARD_JUDGED,
        kinds.STEP_OUTCOME,
        kinds.STEP_VERIFIED,
        kinds.INCIDENT_RESOLVED,
        kinds.INCIDENT_ESCALATED,
    }
)
"""Kinds of event that end a span."""


def tell_span(event: Event, before: Sequence[Event], *, began: datetime | None) -> Told | None:
    """The span that ``event`` ends; None when the journal does not know where it began.

    ``before`` are the incident's opening, intents and outcomes; ``began`` is when the work began
    whose result the event is, where somebody took note of it.
    """
    opened = next((e for e in before if e.kind == kinds.INCIDENT_OPENED), None)
    if opened is None or event.missing:
        return None
    match event.kind:
        case kinds.INCIDENT_RESOLVED | kinds.INCIDENT_ESCALATED:
            return _incident(event, opened)
        case kinds.STEP_OUTCOME | kinds.STEP_VERIFIED:
            return _step(event, opened, before)
        case _:
            return _decision(event, opened, began)


def _incident(event: Event, opened: Event) -> Told:
    outcome = str(event.payload["outcome"])
    return Told(
        name="invoke_agent mendloop",
        span=opened.id,
        parent="",
        start=opened.at,
        end=event.at,
        attributes=_common(event)
        | {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "mendloop",
            "mendloop.goal": str(opened.payload.get("goal", "")),
            "mendloop.outcome": outcome,
        },
        fault=str(event.payload["summary"]) if event.kind == kinds.INCIDENT_ESCALATED else "",
    )


def _step(event: Event, opened: Event, before: Sequence[Event]) -> Told | None:
    key, tool = event.payload["key"], str(event.payload["tool"])
    same = [e for e in before if e.payload.get("key") == key and e.seq < event.seq]
    intent = next((e for e in same if e.kind == kinds.STEP_INTENDED), None)
    if intent is None:
        return None
    common = _common(event) | {"gen_ai.agent.name": event.actor, "gen_ai.tool.name": tool}
    if event.kind == kinds.STEP_VERIFIED:
        since = next((e for e in reversed(same) if e.kind == kinds.STEP_OUTCOME), intent)
        verdict = str(event.payload["verdict"])
        return Told(
            name=f"verify {tool}",
            span=event.id,
            parent=intent.id,
            start=since.at,
            end=event.at,
            attributes=common | {"mendloop.verdict": verdict},
            fault=str(event.payload["detail"]) if verdict == "broken" else "",
        )
    result = str(event.payload["result"])
    return Told(
        name=f"execute_tool {tool}",
        span=intent.id,
        parent=opened.id,
        start=intent.at,
        end=event.at,
        attributes=common
        | {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": str(key),
            "gen_ai.tool.call.arguments": canonical_json(intent.payload.get("arguments", {})),
            "mendloop.result": result,
        },
        fault="" if result in _GOOD else str(event.payload["detail"]),
    )


def _decision(event: Event, opened: Event, began: datetime | None) -> Told:
    payload = event.payload
    own: dict[str, str | float | bool]
    match event.kind:
        case kinds.GUARD_JUDGED:
            name = f"guardrail {payload['tool']}"
            own = {
                "gen_ai.tool.name": str(payload["tool"]),
                "mendloop.guardrail.stage": str(payload["stage"]),
                "mendloop.guardrail.decision": str(payload["ruling"]["decision"]),
                "mendloop.guardrail.policies": str(payload.get("policies", "")),
            }
        case kinds.DIAGNOSIS_MADE:
            name = "diagnose"
            own = {
                "mendloop.cause": str(payload["cause"]),
                "mendloop.confidence": float(payload["confidence"]),
            }
        case _:
            name = "plan"
            steps = [str(step["tool"]) for step in payload.get("steps", [])]
            own = {"mendloop.goal": str(payload["goal"]), "mendloop.plan": " -> ".join(steps)}
    failed = event.kind == kinds.PLAN_FAILED
    return Told(
        name=name,
        span=event.id,
        parent=opened.id,
        start=_start(event, began),
        end=event.at,
        attributes=_common(event) | {"gen_ai.agent.name": event.actor} | own,
        fault=str(payload["reason"]) if failed else "",
    )


def _start(event: Event, began: datetime | None) -> str:
    """When the work began; the moment of the event itself where nobody knows."""
    if began is None:
        return event.at
    return min(began.astimezone(UTC).isoformat(timespec="microseconds"), event.at)


def _common(event: Event) -> dict[str, str | float | bool]:
    return {
        "gen_ai.provider.name": "mendloop",
        "gen_ai.conversation.id": event.incident,
        "mendloop.incident": event.incident,
        "mendloop.target": event.target,
        "mendloop.event": str(event.seq),
    }
