"""Proves to somebody without the journal that one event is under a signed checkpoint."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from orchestrator.journal.audit import root_text
from orchestrator.journal.checkpoint import Checkpoint, parse_checkpoint
from orchestrator.journal.event import Event, digest_of
from orchestrator.journal.merkle import MemoryTree, root_from_path
from orchestrator.journal.note import Verifier
from orchestrator.journal.stored import StoredJournal
from tools.errors import Invalid, Refused
from tools.values import Value, canonical_json, digest


class Proof(Value):
    """An event, its path to the root, and the signed note that holds the root."""

    event: Event
    tree_size: int
    path: tuple[str, ...]
    """Base64, from the leaf up (RFC 6962, section 2.1.1)."""
    checkpoint: str
    """The whole signed note."""


def prove(journal: StoredJournal, event: Event, *, checkpoint: Checkpoint, note: str) -> Proof:
    """The proof that ``event`` is among the events whose root ``note`` signs.

    Reads a few hundred nodes, however long the journal is. Raises Refused when the journal is not
    the one that was signed.
    """
    size = checkpoint.size
    if event.seq > size:
        raise Invalid(f"event {event.seq} is newer than the checkpoint over {size} events")
    path = _kept_path(journal, event, checkpoint)
    if path is None:
        tree = MemoryTree(bytes.fromhex(linked) for linked in journal.hashes())
        if tree.size < size or root_text(tree.root(size)) != checkpoint.root:
            raise Refused(
                f"the journal is not what the checkpoint over {size} events signs; "
                "`mendloop audit verify` names the first bad event"
            )
        path = tree.inclusion(event.seq - 1, size)
    return Proof(
        event=event,
        tree_size=size,
        path=tuple(base64.b64encode(step).decode() for step in path),
        checkpoint=note,
    )


def check(proof: Proof, verifiers: Sequence[Verifier]) -> None:
    """Needs the public key alone. Raises Invalid that says what does not fit."""
    checkpoint = parse_checkpoint(proof.checkpoint, verifiers)
    event = proof.event
    if digest(event.hashed()) != event.hash:
        raise Invalid(f"event {event.seq} does not match its hash: it was changed")
    content = canonical_json(event.payload)
    if event.payload_digest and not event.missing and digest_of(content) != event.payload_digest:
        raise Invalid(f"the payload of event {event.seq} does not match its digest")
    if checkpoint.size != proof.tree_size:
        raise Invalid(f"the checkpoint is over {checkpoint.size} events, not {proof.tree_size}")
    try:
        path = [base64.b64decode(step, validate=True) for step in proof.path]
    except ValueError as error:
        raise Invalid(f"the path is not base64: {error}") from error
    root = root_from_path(bytes.fromhex(event.hash), event.seq - 1, proof.tree_size, path)
    if root is None or root_text(root) != checkpoint.root:
        raise Invalid(f"event {event.seq} is not in the tree that the checkpoint signs")


def _kept_path(journal: StoredJournal, event: Event, checkpoint: Checkpoint) -> list[bytes] | None:
    """The path from the nodes that the journal keeps, if it leads to the signed root."""
    try:
        path = journal.tree().inclusion(event.seq - 1, checkpoint.size)
    except LookupError:
        return None
    root = root_from_path(bytes.fromhex(event.hash), event.seq - 1, checkpoint.size, path)
    return path if root is not None and root_text(root) == checkpoint.root else None
