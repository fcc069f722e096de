"""Proves to somebody without the journal that one event is under a signed checkpoint."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from orchestrator.journal.audit import root_text
from orchestrator.journal.checkpoint import parse_checkpoint
from orchestrator.journal.event import Event
from orchestrator.journal.journal import Journal
from orchestrator.journal.merkle import Tree, root_from_path
from orchestrator.journal.note import Verifier
from tools.errors import Invalid
from tools.values import Value, digest


class Proof(Value):
    """An event, its path to the root, and the signed note that holds the root."""

    event: Event
    tree_size: int
    path: tuple[str, ...]
    """Base64, from the leaf up (RFC 6962, section 2.1.1)."""
    checkpoint: str
    """The whole signed note."""


def prove(journal: Journal, event: Event, *, size: int, note: str) -> Proof:
    """The proof that ``event`` is among the first ``size`` events, whose root ``note`` signs."""
    if event.seq > size:
        raise Invalid(f"event {event.seq} is newer than the checkpoint over {size} events")
    tree = Tree(bytes.fromhex(linked) for linked in journal.hashes())
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
    content = event.model_dump()
    claimed = content.pop("hash")
    if digest(content) != claimed:
        raise Invalid(f"event {event.seq} does not match its hash: it was changed")
    if checkpoint.size != proof.tree_size:
        raise Invalid(f"the checkpoint is over {checkpoint.size} events, not {proof.tree_size}")
    try:
        path = [base64.b64decode(step, validate=True) for step in proof.path]
    except ValueError as error:
        raise Invalid(f"the path is not base64: {error}") from error
    root = root_from_path(bytes.fromhex(claimed), event.seq - 1, proof.tree_size, path)
    if root is None or root_text(root) != checkpoint.root:
        raise Invalid(f"event {event.seq} is not in the tree that the checkpoint signs")
