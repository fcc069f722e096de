"""Holds a journal against its own chain and against checkpoints that were signed earlier."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from orchestrator.journal import kinds
from orchestrator.journal.checkpoint import Named, claimed_size, parse_notes
from orchestrator.journal.event import Row
from orchestrator.journal.journal import Verification
from orchestrator.journal.keys import follow_keys
from orchestrator.journal.merkle import Frontier
from orchestrator.journal.note import Verifier
from orchestrator.journal.operations import JournalKeyed
from orchestrator.journal.verification import Stored
from tools.errors import Invalid


class Chain(Protocol):
    """What can be verified: a journal or an export of one."""

    def verify(self, *, watch: Callable[[Stored], None] | None = None) -> Verification:
        """Recompute the chain, showing ``watch`` every event that was found good."""


def audit(
    chain: Chain, notes: Iterable[tuple[str, str]], given: Sequence[Verifier]
) -> Verification:
    """The whole verification: the chain, the payloads, and every signed note (by name).

    ``given`` are the public keys that are trusted; keys that one of them handed over to are too.
    Shows what the chain alone cannot: an end that was cut off, and a history rewritten as a whole.
    Then ``first_bad`` is the first event that may differ.
    """
    named = {note: name for name, note in notes}  # a copy of one note proves nothing more
    seen = _Seen(sizes={claimed_size(note) for note in named})
    found = chain.verify(watch=seen.take)
    if not found.ok:
        return found
    try:
        verifiers, retired = follow_keys(given, seen.keyed)
        checkpoints = parse_notes([(name, note) for note, name in named.items()], verifiers)
    except Invalid as error:
        return found.model_copy(update={"ok": False, "reason": str(error)})
    return _held_against(seen, found, checkpoints, retired)


class _Seen:
    """What one pass over the events leaves for the checkpoints: roots, and the keys' own events."""

    def __init__(self, sizes: set[int]) -> None:
        self._sizes = sizes
        self._tree = Frontier()
        self.roots = {0: root_text(self._tree.root())}
        self.keyed: list[tuple[int, JournalKeyed]] = []

    def take(self, stored: Stored) -> None:
        """The next event."""
        self._tree.add(bytes.fromhex(stored[9]))
        if self._tree.size in self._sizes:
            self.roots[self._tree.size] = root_text(self._tree.root())
        if stored[3] == kinds.JOURNAL_KEYED:
            self.keyed.append((stored[0], Row(*stored[:10]).event().read(JournalKeyed)))


def _held_against(
    seen: _Seen, found: Verification, checkpoints: Sequence[Named], retired: Mapping[str, int]
) -> Verification:
    """Every checkpoint's size, root and key, smallest first."""
    proved = 0
    for checked, (name, checkpoint) in enumerate(checkpoints):
        size, root = checkpoint.size, seen.roots.get(checkpoint.size)
        fault = ""
        if root is None:
            fault = f"was signed over {size} events, {found.events} are left: cut off"
        elif root != checkpoint.root:
            fault = f"has another root: events {proved + 1} to {size} were rewritten"
        elif all(retired.get(key, size) < size for key in checkpoint.signed_by):
            fault = "was signed by a key that had been handed over before"
        if fault:
            bad = min(proved, found.events) + 1
            change = {"ok": False, "first_bad": bad, "reason": f"checkpoint {name} {fault}"}
            counts = {"checkpoints": checked, "signed_events": proved}
            return found.model_copy(update=change | counts)
        proved = size
    return found.model_copy(update={"checkpoints": len(checkpoints), "signed_events": proved})


def root_text(root: bytes) -> str:
    """A root as it stands in a checkpoint."""
    return base64.b64encode(root).decode()
