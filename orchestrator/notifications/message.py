"""An event of the journal as a message: CloudEvents 1.0 in structured mode, or Slack's JSON.

The id is the event's own, the same in every attempt, so receivers can drop repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.contract import Tool
from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.narrative import tell
from tools.values import Value, canonical_json

TYPE_PREFIX = "dev.mendloop."
_JSON = "application/json"
_CLOUD_EVENT = "application/cloudevents+json; charset=utf-8"
_MOST_REASONS = 8
_MOST_CHARACTERS = 500
_MOST_PAYLOAD_BYTES = 16_384
_SLACK_CHARACTERS = 2_900
"""A section of a Slack message takes 3,000."""

_NAMES = {
    kinds.INCIDENT_OPENED: "opened",
    kinds.APPROVAL_REQUESTED: "needs_approval",
    kinds.APPROVAL_EXPIRED: "unanswered",
    kinds.INCIDENT_RESOLVED: "closed",
    kinds.INCIDENT_ESCALATED: "escalated",
    kinds.TARGET_TAKEN_OVER: "taken_over",
    kinds.TARGET_HANDED_BACK: "handed_back",
    kinds.TARGET_PAUSED: "paused",
    kinds.TARGET_RESUMED: "resumed",
    kinds.AUTONOMY_CHANGED: "autonomy_changed",
    kinds.POLICIES_REJECTED: "policies_rejected",
    kinds.MODELS_REJECTED: "models_rejected",
}
NOTIFIED = frozenset({*_NAMES, kinds.STEP_OUTCOME})
"""Kinds of events that may become a message."""


class Message(Value):
    """What one channel is sent about one event."""

    id: str
    body: str
    content_type: str


def name_of(event: Event, tools: Mapping[str, Tool]) -> str:
    """Under which name channels ask for it; empty when nobody is told.

    "acted" and "undone" are steps that changed production and took effect; "already" may be the
    effect of a controller that died before it could say so, and is told as well.
    """
    if event.kind != kinds.STEP_OUTCOME:
        return _NAMES.get(event.kind, "")
    tool = tools.get(event.payload["tool"])
    if tool is None or not tool.contract.changes_production:
        return ""
    if event.payload["result"] not in ("applied", "already"):
        return ""
    return "undone" if tool.contract.is_safe_return else "acted"


def cloud_event(event: Event, *, name: str, source: str) -> Message:
    """Structured mode: attributes and data in one JSON object."""
    told = tell(event)
    payload = event.payload if _is_small(event.payload) else {}
    body: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": f"{TYPE_PREFIX}{event.kind}",
        "time": event.at,
        "datacontenttype": _JSON,
        "data": {
            "name": name,
            "target": event.target,
            "incident": event.incident,
            "actor": event.actor,
            "what": told.what[:_MOST_CHARACTERS],
            "why": _reasons(told.why),
            "commands": _commands(event),
            "seq": event.seq,
            "hash": event.hash,
            "payload": payload,
        },
    }
    if event.target:
        body["subject"] = event.target
    return Message(
        id=event.id,
        body=canonical_json(body),
        content_type=_CLOUD_EVENT,
    )


def slack_message(event: Event) -> Message:
    """For incoming webhooks of Slack and of what is compatible with it."""
    told = tell(event)
    where = " · ".join(part for part in (event.target, event.incident) if part)
    lines = [
        _escaped(where),
        f"*{_escaped(told.what)}*",
        *(f"• {_escaped(r)}" for r in _reasons(told.why)),
    ]
    lines += [f"`{_escaped(command)}`" for command in _commands(event)]
    text = f"{where}: {told.what}" if where else told.what
    blocks = [
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "\n".join(lines).strip()[:_SLACK_CHARACTERS]},
        },
        {
            "type": "context",
            "elements": [
                {
                    "type": "mrkdwn",
                    "text": _escaped(
                        f"{where or 'mendloop'} · {event.actor} · {event.at[:19]} UTC"
                    ),
                }
            ],
        },
    ]
    body = {"text": _escaped(text)[:_SLACK_CHARACTERS], "blocks": blocks}
    return Message(id=event.id, body=canonical_json(body), content_type=_JSON)


def trial(channel: str, *, source: str, form: str, identity: str, at: str) -> Message:
    """What `mendloop notify test` sends."""
    text = f"mendloop can reach the channel {channel}"
    if form == "slack":
        return Message(id=identity, body=canonical_json({"text": text}), content_type=_JSON)
    body = {
        "specversion": "1.0",
        "id": identity,
        "source": source,
        "type": f"{TYPE_PREFIX}test",
        "time": at,
        "datacontenttype": _JSON,
        "data": {"name": "test", "what": text},
    }
    return Message(id=identity, body=canonical_json(body), content_type=_CLOUD_EVENT)


def _commands(event: Event) -> list[str]:
    """What a person may type about it."""
    match event.kind:
        case kinds.APPROVAL_REQUESTED:
            name = event.payload["approval"]
            return [f"mendloop approve {name}", f'mendloop reject {name} --reason "..."']
        case kinds.TARGET_TAKEN_OVER:
            return [f"mendloop hand-back {event.target}"]
        case _:
            return [f"mendloop audit show --incident {event.incident}"] if event.incident else []


def _reasons(why: tuple[str, ...]) -> list[str]:
    return [reason[:_MOST_CHARACTERS] for reason in why[:_MOST_REASONS]]


def _is_small(payload: dict[str, Any]) -> bool:
    return len(canonical_json(payload).encode()) <= _MOST_PAYLOAD_BYTES


def _escaped(text: str) -> str:
    """As Slack wants it: nothing in a message may mention people or make links by itself."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
