"""Payloads stored apart: once, under their digest; whatever happens to one of them is found."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.journal import kinds
from orchestrator.journal.audit import audit
from orchestrator.journal.export import ExportedJournal, json_lines
from orchestrator.journal.journal import Verification
from orchestrator.journal.payloads import MemorySaved
from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Invalid, Refused

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def save(journal: SqliteJournal, text: str) -> None:
    """A snapshot of some size."""
    memory = {"memory": {"notes": [text] * 1000}}
    journal.append(kinds.MEMORY_SAVED, at=NOW, actor="monitor", target="a/b", payload=memory)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed journal: snapshots one, two, one, and a small event between."""
    journal = SqliteJournal(tmp_path / "mendloop.db")
    save(journal, "one")
    save(journal, "two")
    journal.append(kinds.TARGET_RESUMED, at=NOW, actor="kim", payload={"by": "kim"})
    save(journal, "one")
    journal.close()
    return tmp_path / "mendloop.db"


def tamper(path: Path, *statements: str) -> None:
    """Change the file as somebody with SQLite would."""
    connection = sqlite3.connect(path)
    for trigger in ("events_stay", "events_remain", "payloads_stay", "payloads_remain"):
        connection.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def verified(path: Path) -> Verification:
    """What the chain and the payloads say."""
    journal = SqliteJournal.open_read_only(path)
    found = journal.verify()
    journal.close()
    return found


def exported(path: Path) -> Path:
    """The journal as JSON lines."""
    out = path.with_suffix(".jsonl")
    journal = SqliteJournal.open_read_only(path)
    out.write_text("".join(json_lines(journal)), encoding="utf-8")
    journal.close()
    return out


def test_the_same_content_is_stored_once(path: Path) -> None:
    """Three snapshots, two contents: in the file, and in an export."""
    connection = sqlite3.connect(path)
    (stored,) = connection.execute("SELECT count(*) FROM payloads").fetchone()
    connection.close()
    lines = [json.loads(line) for line in exported(path).read_text().splitlines()]

    assert stored == 2
    assert [set(line) for line in lines].count({"content", "name"}) == 2
    assert [line["payload"] for line in lines if line.get("seq") == 1] == [
        line["payload"] for line in lines if line.get("seq") == 4
    ]
    assert ExportedJournal(path.with_suffix(".jsonl")).verify().events == 4


CHANGES: dict[str, tuple[str, int, str]] = {
    "deleted": ("DELETE FROM payloads WHERE content LIKE '%two%'", 2, "deleted"),
    "deleted, used twice": ("DELETE FROM payloads WHERE content LIKE '%one%'", 1, "deleted"),
    "edited": (
        "UPDATE payloads SET content = replace(content, 'two', 'ten')",
        2,
        "does not match its digest",
    ),
    "swapped": (
        "UPDATE payloads SET content = (SELECT content FROM payloads WHERE content LIKE '%one%')",
        2,
        "does not match its digest",
    ),
    "said to be pruned": (
        "INSERT INTO pruned SELECT name, 3 FROM payloads WHERE content LIKE '%two%'",
        2,
        "deleted",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_payload_that_was_touched_is_named(path: Path, change: str) -> None:
    """By the first event that carries it, in the file and in an export of it."""
    statement, bad, reason = CHANGES[change]
    also = ["DELETE FROM payloads WHERE content LIKE '%two%'"] if change.startswith("said") else []
    tamper(path, statement, *also)
    found = verified(path)
    from_export = ExportedJournal(exported(path)).verify()

    assert (found.ok, found.first_bad) == (False, bad)
    assert reason in found.reason
    assert (from_export.ok, from_export.first_bad) == (False, bad)


def test_a_payload_deleted_from_an_export_is_named(path: Path) -> None:
    """The event says which content it had."""
    out = exported(path)
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(line for line in lines if '"content"' not in line or "two" not in line))
    found = audit(ExportedJournal(out), [], [])

    assert (found.ok, found.first_bad) == (False, 2)
    assert "deleted" in found.reason


def test_a_lost_explanation_does_not_stop_readers_and_a_lost_act_does(path: Path) -> None:
    """What was thought can be told as lost; without what was done nobody may go on."""
    tamper(path, "DELETE FROM payloads")
    journal = SqliteJournal(path)
    events = journal.events()

    assert [bool(event.missing) for event in events] == [True, True, False, True]
    with pytest.raises(Refused, match=r"event 1 .*deleted"):
        events[0].read(MemorySaved)
    journal.append(
        kinds.STEP_OUTCOME,
        at=NOW,
        actor="deployer",
        payload={"key": "k", "tool": "promote", "result": "applied", "detail": "x" * 3000},
    )
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM payloads")
    connection.commit()
    connection.close()
    with pytest.raises(Refused, match="journal is damaged"):
        journal.events()
    journal.close()


def test_accidents_do_not_delete_payloads(path: Path) -> None:
    """Only recorded retention may, and nobody may change one."""
    connection = sqlite3.connect(path)
    for statement in ("DELETE FROM payloads", "UPDATE payloads SET content = ''"):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    connection.close()


def as_format_1(path: Path) -> list[Any]:
    """Turn the file into what the format before would have written, and return its rows."""
    connection = sqlite3.connect(path)
    for name in ("payloads", "pruned", "nodes"):
        connection.execute(f"DROP TABLE {name}")
    connection.execute("PRAGMA user_version = 1")
    rows = connection.execute("SELECT * FROM events").fetchall()
    connection.commit()
    connection.close()
    return rows


def test_a_journal_of_the_format_before_is_taken_over(tmp_path: Path) -> None:
    """Its events stay byte for byte; readers say what to do."""
    path = tmp_path / "mendloop.db"
    journal = SqliteJournal(path)
    for _ in range(300):
        journal.append(kinds.TARGET_RESUMED, at=NOW, actor="kim", payload={"by": "kim"})
    root = journal.tree().root(300)
    journal.close()
    rows = as_format_1(path)
    with pytest.raises(Invalid, match=r"format 1.*mendloop run"):
        SqliteJournal.open_read_only(path)
    converted = SqliteJournal(path)
    save(converted, "later")

    assert [tuple(row) for row, _ in converted.rows(until=300)] == rows
    assert converted.tree().root(300) == root
    assert converted.verify().events == 301
    converted.close()
