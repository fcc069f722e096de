"""Rotates the key that signs checkpoints: the old one signs the new one, in the journal itself."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from orchestrator.journal import kinds
from orchestrator.journal.audit import root_text
from orchestrator.journal.checkpoint import Checkpoint, CheckpointFolder
from orchestrator.journal.keys import finish_rotation, hand_over, prepare_rotation, signing
from orchestrator.journal.note import Verifier
from orchestrator.journal.signed import SignedJournal
from orchestrator.journal.sqlite import SqliteJournal


def rotate_key(path: Path, *, at: datetime, by: str) -> tuple[Verifier, Verifier]:
    """The public keys before and after; a controller that runs goes on with the new one.

    The last thing that the old key signs is the checkpoint over its own hand-over. A crash leaves
    the old key in force, or the new one, never neither: the next start finishes or forgets it.
    Raises Refused when the journal is not what was signed.
    """
    keys, checkpoints = path.parent / "keys", CheckpointFolder(path.parent / "checkpoints")
    signed = SignedJournal(path, at=at)  # holds the journal against the last checkpoint
    origin = signed.origin
    signed.close()
    journal = SqliteJournal(path)
    try:
        with signing(keys):
            old, new = prepare_rotation(keys)
            event = journal.append(
                kinds.JOURNAL_KEYED, at=at, actor=by, payload=hand_over(old, new.verifier)
            )
            root = root_text(journal.tree().root(event.seq))
            checkpoints.write(Checkpoint(origin=origin, size=event.seq, root=root), old)
            finish_rotation(keys, str(new.verifier))
    finally:
        journal.close()
    return old.verifier, new.verifier
