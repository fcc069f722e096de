"""Holds a journal against its own chain and against checkpoints that were signed earlier."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from orchestrator.journal.checkpoint import Checkpoint
from orchestrator.journal.journal import Verification
from orchestrator.journal.merkle import Frontier


class Chain(Protocol):
    """What can be verified: a journal or an export of one."""

    def verify(self) -> Verification:
        """Recompute the chain."""

    def hashes(self) -> Iterable[str]:
        """The events' hashes in order."""


def verify_against(chain: Chain, checkpoints: Sequence[tuple[Path, Checkpoint]]) -> Verification:
    """The chain's own verification, then every checkpoint's size and root, smallest first.

    Shows what the chain alone cannot: an end that was cut off, and a history rewritten as a
    whole. Then ``first_bad`` is the first event that may differ.
    """
    found = chain.verify()
    if not found.ok:
        return found
    proved = 0
    for checked, (path, checkpoint, fault) in enumerate(_compared(chain, checkpoints)):
        if fault:
            return Verification(
                ok=False,
                events=found.events,
                first_bad=proved + 1,
                reason=f"checkpoint {path.name} {fault}",
                checkpoints=checked,
                signed_events=proved,
            )
        proved = checkpoint.size
    return found.model_copy(update={"checkpoints": len(checkpoints), "signed_events": proved})


def _compared(
    chain: Chain, checkpoints: Sequence[tuple[Path, Checkpoint]]
) -> Iterator[tuple[Path, Checkpoint, str]]:
    """Each checkpoint with what contradicts it; empty when nothing does."""
    tree, hashes = Frontier(), iter(chain.hashes())
    proved = 0
    for path, checkpoint in checkpoints:
        while tree.size < checkpoint.size and (linked := next(hashes, None)) is not None:
            tree.add(bytes.fromhex(linked))
        fault = ""
        if tree.size < checkpoint.size:
            fault = f"was signed over {checkpoint.size} events, {tree.size} are left: cut off"
        elif root_text(tree.root()) != checkpoint.root:
            fault = f"has another root: events {proved + 1} to {checkpoint.size} were rewritten"
        yield path, checkpoint, fault
        proved = checkpoint.size


def root_text(root: bytes) -> str:
    """A root as it stands in a checkpoint."""
    return base64.b64encode(root).decode()
