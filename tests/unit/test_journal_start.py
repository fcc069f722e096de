"""A start verifies what the newest checkpoint does not vouch for; kept tree nodes are no proof."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.journal import kinds
from orchestrator.journal.audit import audit, root_text
from orchestrator.journal.checkpoint import Checkpoint, CheckpointFolder, parse_checkpoint
from orchestrator.journal.event import Entry
from orchestrator.journal.journal import Verification
from orchestrator.journal.keys import read_verifiers
from orchestrator.journal.proof import check, prove
from orchestrator.journal.signed import SignedJournal
from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Refused

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def opened(home: Path) -> SignedJournal:
    """The home's journal, as a start opens it."""
    return SignedJournal(home / "mendloop.db", at=NOW, every_events=1000)


def verified(home: Path) -> Verification:
    """The whole verification."""
    notes = CheckpointFolder(home / "checkpoints").notes()
    journal = SqliteJournal.open_read_only(home / "mendloop.db")
    found = audit(journal, notes, read_verifiers(home / "keys"))
    journal.close()
    return found


def sql(home: Path, *statements: str) -> None:
    """Change the journal behind its back."""
    connection = sqlite3.connect(home / "mendloop.db")
    for statement in ("DROP TRIGGER events_stay", "DROP TRIGGER events_remain", *statements):
        connection.execute(statement)
    connection.commit()
    connection.close()


def signed(home: Path) -> tuple[Checkpoint, str]:
    """The checkpoint that covers the first events, and its note."""
    note = CheckpointFolder(home / "checkpoints").covering(5)
    assert note is not None
    return parse_checkpoint(note, read_verifiers(home / "keys")), note


def grown(home: Path, events: int = 600) -> None:
    """A journal with full tiles, signed to its end."""
    journal = opened(home)
    journal.append_many(
        [
            Entry(kind=kinds.TARGET_RESUMED, at=NOW, actor="kim", payload={"by": "kim"})
            for _ in range(events)
        ]
    )
    journal.close()


def test_a_start_reads_only_what_the_last_checkpoint_does_not_vouch_for(tmp_path: Path) -> None:
    """An early event that was edited is found by the whole verification, not by each start."""
    grown(tmp_path)
    sql(tmp_path, "UPDATE events SET actor = 'nobody' WHERE seq = 3")
    opened(tmp_path).close()

    assert verified(tmp_path).first_bad == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET actor = 'nobody' WHERE seq = 600",
        "DELETE FROM events WHERE seq > 590",
        "UPDATE events SET hash = replace(hash, '0', '1') WHERE seq = 599",
    ],
)
def test_a_start_finds_what_was_done_to_the_newest_events(tmp_path: Path, statement: str) -> None:
    """The tile at the end, and everything after it, is read and compared with the signed root."""
    grown(tmp_path)
    sql(tmp_path, statement)
    with pytest.raises(Refused, match="not what was signed"):
        opened(tmp_path)


def test_kept_nodes_that_were_damaged_are_made_anew(tmp_path: Path) -> None:
    """They are nobody's proof: the events are, and a proof is checked against the signed root."""
    grown(tmp_path)
    sql(tmp_path, "UPDATE nodes SET root = zeroblob(32)", "DELETE FROM nodes WHERE place = 1")
    checkpoint, note = signed(tmp_path)
    journal = SqliteJournal.open_read_only(tmp_path / "mendloop.db")
    proof = prove(journal, journal.events(until=5)[-1], checkpoint=checkpoint, note=note)
    journal.close()
    check(proof, read_verifiers(tmp_path / "keys"))
    opened(tmp_path).close()
    journal = SqliteJournal.open_read_only(tmp_path / "mendloop.db")

    assert root_text(journal.tree().root(checkpoint.size)) == checkpoint.root
    journal.close()


def test_a_proof_of_a_journal_that_was_rewritten_is_refused(tmp_path: Path) -> None:
    """No path leads from a forged event to the signed root."""
    grown(tmp_path)
    sql(tmp_path, "UPDATE events SET hash = replace(hash, 'a', 'b') WHERE seq = 5")
    checkpoint, note = signed(tmp_path)
    journal = SqliteJournal.open_read_only(tmp_path / "mendloop.db")
    with pytest.raises(Refused, match="not what the checkpoint over"):
        prove(journal, journal.events(until=5)[-1], checkpoint=checkpoint, note=note)
    journal.close()
