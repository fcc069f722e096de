"""One event of the journal, and the hash that chains it to the event before it.

The hash is SHA-256 over the canonical JSON of everything but the hash itself (seven text fields,
the sequence number and the payload), so that anybody can recompute it with a JSON library.

A payload of some size is stored apart, once, under its SHA-256; the event then carries the text
``sha256:...`` in its place. The chain covers the digest, so the content can be pruned one day and
every proof still holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from orchestrator.journal.kinds import KINDS
from orchestrator.journal.payloads import PAYLOADS
from orchestrator.journal.redaction import may_hold_secrets, redacted, redacted_text
from tools.errors import Invalid, Refused
from tools.values import Value, canonical_json

GENESIS_HASH = "0" * 64
"""What the first event has for the hash of the event before it."""

MAX_PAYLOAD_BYTES = 1_048_576
"""Larger things belong in a file that the payload names by digest."""

APART_BYTES = 2048
"""From this size on a payload is stored apart: acts stay in the chain itself, snapshots and the
inputs of decisions do not."""

Shape = TypeVar("Shape", bound=Value)


class Event(Value):
    """What happened, to whom, by whom, and its place in the chain."""

    seq: int
    """1, 2, 3, ... without gaps."""
    id: str
    """Short name for links, made from the event's content; it is the event's span id in traces."""
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
    payload_digest: str = ""
    """``sha256:...`` when the payload is stored apart."""
    missing: str = ""
    """Why the payload is not there any more, when it is not; ``payload`` is empty then."""

    def read(self, shape: type[Shape]) -> Shape:
        """The payload as one of the models of ``payloads.py``. Raises Refused when it is gone."""
        if self.missing:
            raise Refused(f"the payload of event {self.seq} ({self.kind}) {self.missing}")
        return shape.model_validate(self.payload)

    @property
    def trace_id(self) -> str:
        """Every event of an incident is in one trace, after restarts too; empty without one."""
        return trace_id_of(self.incident) if self.incident else ""

    def hashed(self) -> dict[str, Any]:
        """What ``hash`` is computed over, as an object whose canonical JSON is hashed."""
        content = self.model_dump(exclude={"hash", "payload_digest", "missing"})
        return {**content, "payload": self.payload_digest or self.payload}


def trace_id_of(incident: str) -> str:
    """32 hexadecimal digits that follow from the incident's name alone."""
    return hashlib.sha256(f"incident:{incident}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a writer hands in; the journal adds the place in the chain."""

    kind: str
    at: datetime
    target: str = ""
    incident: str = ""
    actor: str
    payload: Value | Mapping[str, Any]
    token: int = 0
    """Fencing token of the lease that it is written under; not written itself. Once a newer lease
    on the target is on record, the entry is refused. 0: under no lease."""


class Head(NamedTuple):
    """The newest event; an empty journal's has ``seq`` 0."""

    seq: int = 0
    hash: str = GENESIS_HASH


class Row(NamedTuple):
    """An event as it is stored and hashed: ``payload`` is JSON text, an object or a digest."""

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

    @property
    def is_apart(self) -> bool:
        """Whether ``payload`` only names the content."""
        return self.payload.startswith('"')

    def event(self, content: str | None = None, *, missing: str = "") -> Event:
        """The event with its payload parsed; ``content`` is what was stored apart."""
        text = content if self.is_apart else self.payload
        return Event(
            **{
                **self._asdict(),
                "payload": {} if text is None else json.loads(text),
                "payload_digest": json.loads(self.payload) if self.is_apart else "",
                "missing": missing if text is None else "",
            }
        )


class Linked(NamedTuple):
    """An entry in its place of the chain, with the whole text of its payload."""

    row: Row
    content: str

    def event(self) -> Event:
        """The event as its writer gets it back; nothing in it needs checking again."""
        row, apart = self.row, self.row.is_apart
        return Event.model_construct(
            **{
                **row._asdict(),
                "payload": json.loads(self.content),
                "payload_digest": row.payload[1:-1] if apart else "",
                "missing": "",
            }
        )


def chain(head: Head, entry: Entry) -> Linked:
    """``entry`` as the event that follows ``head``, without its secrets.

    Raises Invalid for what has no JSON form.
    """
    _check(entry)
    content = _payload_text(entry)
    payload = f'"{digest_of(content)}"' if len(content) >= APART_BYTES else content
    seq, at = head.seq + 1, entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    kind = entry.kind
    target, incident, actor = _names(entry)
    named = (
        f'[{seq},{{"actor":{_quote(actor)},"at":{_quote(at)},"incident":{_quote(incident)},'
        f'"kind":{_quote(kind)},"target":{_quote(target)}}},{_quote(payload)},"{head.hash}"]'
    )
    name = hashlib.sha256(named.encode()).hexdigest()[:16]
    linked = hash_of(
        seq=seq,
        id=name,
        at=at,
        kind=kind,
        target=target,
        incident=incident,
        actor=actor,
        payload=payload,
        prev_hash=head.hash,
    )
    row = Row(seq, name, at, kind, target, incident, actor, payload, head.hash, linked)
    return Linked(row, content)


def digest_of(content: str) -> str:
    """The name under which a payload's canonical JSON is stored apart."""
    return "sha256:" + hashlib.sha256(content.encode()).hexdigest()


def _names(entry: Entry) -> tuple[str, str, str]:
    names = (entry.target, entry.incident, entry.actor)
    if not may_hold_secrets("\n".join(names)):
        return names
    target, incident, actor = map(redacted_text, names)
    return target, incident, actor


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
    """Canonical JSON of the payload, in the shape that its kind declares, secrets masked."""
    payload, model = entry.payload, PAYLOADS[entry.kind]
    try:
        if not isinstance(payload, model):
            raw = payload.model_dump(mode="json") if isinstance(payload, Value) else dict(payload)
            payload = model.model_validate(raw)
        content = payload.model_dump(mode="json")
        text = canonical_json(content)
        if may_hold_secrets(text):
            text = canonical_json(redacted(content))
        size = len(text.encode())
    except ValidationError as error:
        raise Invalid(
            f"not a payload of {entry.kind}: {_in_words(error)}", field="payload"
        ) from None
    except (TypeError, ValueError) as error:
        raise Invalid(f"not a payload of {entry.kind}: {error}", field="payload") from error
    if size > MAX_PAYLOAD_BYTES:
        raise Invalid(f"{entry.kind} has {size} bytes, at most 1 MiB is taken", field="payload")
    return text


def _in_words(error: ValidationError) -> str:
    """Field and complaint, without the value: it may be a secret, and messages end up in logs."""
    return "; ".join(
        f"{'.'.join(str(part) for part in found['loc'])}: {found['msg']}"
        for found in error.errors(include_input=False, include_url=False)
    )
