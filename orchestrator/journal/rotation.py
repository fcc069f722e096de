"""Rotates the key that signs checkpoints: the old one signs the new one, in the journal itself."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from orchestrator.journal import kinds
from orchestrator.journal.address import JournalAddress
from orchestrator.journal.audit import root_text
from orchestrator.journal.checkpoint import Checkpoint
from orchestrator.journal.keys import (
    finish_rotation,
    hand_over,
    load_or_make_signer,
    prepare_rotation,
)
from orchestrator.journal.note import Verifier
from orchestrator.journal.operations import JournalKeyed
from orchestrator.journal.signed import SignedJournal
from tools.errors import Refused


def rotate_key(where: Path | JournalAddress, *, at: datetime, by: str) -> tuple[Verifier, Verifier]:
    """The public keys before and after; a controller goes on with the new one once it has it.

    The last thing that the old key signs is the checkpoint over its own hand-over. A crash leaves
    the old key in force, or the new one, never neither: the next start finishes or forgets it.
    Raises Refused when the journal is not what was signed.
    """
    signed = SignedJournal(where, at=at)  # holds the journal against the last checkpoint
    origin, address = signed.origin, signed.address
    signed.close()
    keys, checkpoints = address.keys, address.checkpoints()
    journal = address.open()
    try:
        with address.signing():
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


def replace_lost_key(address: JournalAddress, *, at: datetime, by: str) -> Verifier:
    """The new public key of a journal whose key nobody has any more.

    No signature hands over: what was signed before is proved by the old public key, what follows by
    the new one. Raises Refused while the home still has the key, and where the chain is not whole.
    """
    journal = address.open()
    try:
        found = journal.verify()  # before the lock is taken: a long journal takes its time
        if not found.ok:
            raise Refused(f"the journal is not whole: {found.reason} (event {found.first_bad})")
        with address.signing():
            recorded = journal.last(kinds.JOURNAL_KEYED, target="")
            signer = load_or_make_signer(address.keys)
            key = JournalKeyed(verifier=str(signer.verifier))
            if recorded is None or recorded.read(JournalKeyed).verifier == key.verifier:
                raise Refused(f"the key is in {address.keys}: rotate it without saying it is lost")
            event = journal.append(kinds.JOURNAL_KEYED, at=at, actor=by, payload=key)
            root = root_text(journal.tree().root(event.seq))
            origin = signer.verifier.name
            kept = address.checkpoints()
            kept.write(Checkpoint(origin=origin, size=event.seq, root=root), signer)
    finally:
        journal.close()
    return signer.verifier
