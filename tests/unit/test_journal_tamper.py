"""Nobody rewrites the journal unseen: every edit of a stored event is found, and named."""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.journal import kinds
from orchestrator.journal.event import Entry
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.journal.store import COLUMNS
from orchestrator.journal.verification import verify_rows

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)
EVENTS = 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of a few events, closed."""
    path = tmp_path / "mendloop.db"
    journal = SqliteJournal(path)
    journal.append_many(
        [
            Entry(
                kind=kinds.STEP_OUTCOME,
                at=NOW,
                target="default/flights",
                incident=f"inc-{i % 3}",
                actor="deployer",
                payload={"key": f"k{i}", "tool": "promote", "result": "applied", "detail": "ünï"},
            )
            for i in range(EVENTS)
        ]
    )
    journal.close()
    return path


def tamper(path: Path, *statements: str) -> None:
    """Change the file as somebody with SQLite would: triggers do not stop them."""
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER events_stay")
    connection.execute("DROP TRIGGER events_remain")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def first_bad(path: Path) -> int | None:
    """What verify names; None when it finds the chain whole."""
    journal = SqliteJournal.open_read_only(path)
    found = journal.verify()
    journal.close()
    assert found.ok == (found.first_bad is None)
    return found.first_bad


def test_an_untouched_journal_verifies(path: Path) -> None:
    """The other tests mean something only if this holds."""
    assert first_bad(path) is None


@pytest.mark.parametrize(
    "column", ["id", "at", "kind", "target", "incident", "actor", "payload", "prev_hash", "hash"]
)
def test_a_changed_column_is_named(path: Path, column: str) -> None:
    """Whatever part of an event is edited."""
    tamper(
        path,
        f"UPDATE events SET {column} = replace({column}, substr({column}, 1, 1), 'z')"
        " WHERE seq = 7",
    )

    assert first_bad(path) == 7


@pytest.mark.parametrize(
    ("statements", "bad"),
    [
        (["DELETE FROM events WHERE seq = 1"], 1),
        (["DELETE FROM events WHERE seq = 7"], 7),
        (["DELETE FROM events WHERE seq BETWEEN 5 AND 9"], 5),
        (["DELETE FROM events WHERE seq = 7", "UPDATE events SET seq = seq - 1 WHERE seq > 7"], 7),
        (
            [
                "UPDATE events SET seq = 1000 WHERE seq = 7",
                "UPDATE events SET seq = 7 WHERE seq = 8",
                "UPDATE events SET seq = 8 WHERE seq = 1000",
            ],
            7,
        ),
        (["UPDATE events SET seq = 0 WHERE seq = 1"], 1),
        (
            [
                "UPDATE events SET seq = -seq WHERE seq >= 7",
                "UPDATE events SET seq = 1 - seq WHERE seq < 0",
                f"INSERT INTO events SELECT 7, {COLUMNS.removeprefix('seq, ')}"
                " FROM events WHERE seq = 3",
            ],
            7,
        ),
        (["UPDATE events SET payload = replace(payload, ',', ', ') WHERE seq = 7"], 7),
        (["UPDATE events SET payload = CAST(x'7bff7d' AS TEXT) WHERE seq = 7"], 7),
    ],
    ids=[
        "first deleted",
        "one deleted",
        "several deleted",
        "deleted and renumbered",
        "two swapped",
        "numbered from zero",
        "one put in between",
        "white space in the payload",
        "bytes that are no text",
    ],
)
def test_structural_edits_are_named(path: Path, statements: list[str], bad: int) -> None:
    """Deleting, reordering, inserting, respelling."""
    tamper(path, *statements)

    assert first_bad(path) == bad


def test_an_event_with_a_new_hash_breaks_the_next_one(path: Path) -> None:
    """Whoever recomputes one event's hash must recompute all that follow."""
    connection = sqlite3.connect(path)
    rows = connection.execute(f"SELECT {COLUMNS} FROM events ORDER BY seq").fetchall()
    connection.close()
    forged = list(rows)
    forged[6] = (*rows[6][:9], "0" * 64)
    found = verify_rows(iter(forged))
    assert found.first_bad == 7

    consistent = [*rows[:6], *rows[7:]]
    assert verify_rows(iter(consistent)).first_bad == 7


def test_a_cut_off_end_is_not_seen_by_the_chain_alone(path: Path) -> None:
    """A chain that ends early is whole: this is what signed checkpoints are for."""
    tamper(path, "DELETE FROM events WHERE seq > 10")

    assert first_bad(path) is None


def test_any_single_character_edit_is_found(path: Path) -> None:
    """Random edits of random fields, every one of them detected at its event."""
    connection = sqlite3.connect(path)
    rows = connection.execute(f"SELECT {COLUMNS} FROM events ORDER BY seq").fetchall()
    connection.close()
    rng = random.Random(1)
    for _ in range(1000):
        place, column = rng.randrange(EVENTS), rng.randrange(1, 10)
        text = rows[place][column]
        where = rng.randrange(len(text))
        other = chr((ord(text[where]) + rng.randrange(1, 90)) % 0x250)
        row = list(rows[place])
        row[column] = text[:where] + other + text[where + 1 :]
        edited = [*rows[:place], tuple(row), *rows[place + 1 :]]

        assert verify_rows(iter(edited)).first_bad == place + 1


def test_an_index_that_hides_events_is_found(path: Path) -> None:
    """The chain is whole, yet an incident has no events for whoever looks it up by name."""
    tamper(
        path,
        "CREATE INDEX blind ON events (incident) WHERE incident = 'nothing'",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master"
        " WHERE name = 'blind') WHERE name = 'events_by_incident'",
        "DELETE FROM sqlite_master WHERE name = 'blind'",
    )
    journal = SqliteJournal.open_read_only(path)
    hidden, found = journal.events(incident="inc-1"), journal.verify()
    journal.close()

    assert hidden == []
    assert not found.ok
    assert "the database file is not" in found.reason


def test_accidents_are_refused_by_the_file_itself(path: Path) -> None:
    """Somebody who types an UPDATE learns that this is not how it works."""
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("UPDATE events SET actor = 'x'")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("DELETE FROM events")
    connection.close()
