"""One event of the journal, and the hash that chains it to the event before it.

The hash is SHA-256 over the canonical JSON of everything but the hash itself (seven text fields,
the sequence number and the payload), so that anybody can recompute it with a JSON library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from orchestrator.journal.kinds import KINDS
from orchestrator.journal.payloads import PAYLOADS
from tools.errors import Invalid
from tools.values import Value, canonical_json

GENESIS_HASH = "0" * 64
"""What the first event has for the hash of the event before it."""

MAX_PAYLOAD_BYTES = 1_048_576
"""Larger things belong in a file that the payload names by digest."""

Shape = TypeVar("Shape", bound=Value)


class Event(Value):
    """What happened, to whom, by whom, and its place in the chain."""

    seq: int
    """1, 2, 3, ... without gaps."""
    id: str
    """Short name for links, made from the event's content."""
    at: str
    """Wall clock, ISO 8601, UTC."""
    kind: str
    target: str
    """``namespace/name`` of the served model; empty when it concerns the whole controller."""
    incident: str
    """Empty when it belongs to none."""
    actor: str
    """Agent, controller or person."""
    payload: dict[str, Any]
    prev_hash: str
    hash: str

    def read(self, shape: type[Shape]) -> Shape:
        """The payload as one of the models of ``payloads.py``."""
        return shape.model_validate(self.payload)


class Entry(Value):
    """What a writer hands in; the journal adds the place in the chain."""

    kind: str
    at: datetime
    target: str = ""
    incident: str = ""
    actor: str
    payload: Value | Mapping[str, Any]


class Head(Value):
    """The newest event; an empty journal's has ``seq`` 0."""

    seq: int = 0
    hash: str = GENESIS_HASH


class Row(Value):
    """An event as it is stored: the payload is its canonical JSON text."""

    seq: int
    id: str
    at: str
    kind: str
    target: str
    incident: str
    actor: str
    payload: str
    prev_hash: str
    hash: str

    def event(self) -> Event:
        """The event with its payload parsed."""
        return Event(**{**dict(self), "payload": json.loads(self.payload)})


def chain(head: Head, entry: Entry) -> Row:
    """``entry`` as the event that follows ``head``. Raises Invalid for what has no JSON form."""
    _check(entry)
    payload = _payload_text(entry)
    seq, at = head.seq + 1, entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    fields = {
        "at": at,
        "kind": entry.kind,
        "target": entry.target,
        "incident": entry.incident,
        "actor": entry.actor,
    }
    content = canonical_json([seq, fields, payload, head.hash])
    name = hashlib.sha256(content.encode()).hexdigest()[:16]
    linked = hash_of(seq=seq, id=name, payload=payload, prev_hash=head.hash, **fields)
    return Row(seq=seq, id=name, payload=payload, prev_hash=head.hash, hash=linked, **fields)


_quote = json.JSONEncoder(ensure_ascii=False).encode


def hash_of(
    *,
    seq: int,
    id: str,
    at: str,
    kind: str,
    target: str,
    incident: str,
    actor: str,
    payload: str,
    prev_hash: str,
) -> str:
    """SHA-256 of the event's canonical JSON, spelled out because verifying does it a million times.

    ``payload`` is JSON text and goes in as it stands: any other spelling of it changes the hash.
    """
    text = (
        f'{{"actor":{_quote(actor)},"at":{_quote(at)},"id":{_quote(id)},'
        f'"incident":{_quote(incident)},"kind":{_quote(kind)},"payload":{payload},'
        f'"prev_hash":{_quote(prev_hash)},"seq":{seq},"target":{_quote(target)}}}'
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _check(entry: Entry) -> None:
    if entry.kind not in KINDS:
        raise Invalid(f"unknown kind of event {entry.kind!r}; see journal/kinds.py", field="kind")
    if entry.at.tzinfo is None:
        raise Invalid("expected a time with a time zone", field="at")
    if not entry.actor:
        raise Invalid("expected who did it, got nothing", field="actor")
    for name in ("target", "incident", "actor"):
        text: str = getattr(entry, name)
        if len(text) > 300 or not text.isprintable():
            raise Invalid(f"expected at most 300 printable characters, got {text!r}", field=name)


def _payload_text(entry: Entry) -> str:
    """Canonical JSON of the payload, in the shape that its kind declares."""
    payload, model = entry.payload, PAYLOADS[entry.kind]
    try:
        if not isinstance(payload, model):
            raw = payload.model_dump(mode="json") if isinstance(payload, Value) else dict(payload)
            payload = model.model_validate(raw)
        text = canonical_json(payload.model_dump(mode="json"))
        size = len(text.encode())
    except (TypeError, ValueError) as error:
        raise Invalid(f"not a payload of {entry.kind}: {error}", field="payload") from error
    if size > MAX_PAYLOAD_BYTES:
        raise Invalid(f"{entry.kind} has {size} bytes, at most 1 MiB is taken", field="payload")
    return text
