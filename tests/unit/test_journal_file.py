"""The journal's file: kept through crashes, shared by processes, honest when it cannot write."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.journal import kinds
from orchestrator.journal.payloads import PAYLOADS
from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Invalid, Refused, Unavailable

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)

APPENDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from orchestrator.journal.sqlite import SqliteJournal

journal = SqliteJournal(Path(sys.argv[1]))
for i in range(int(sys.argv[3])):
    payload = {"by": sys.argv[2], "reason": f"{sys.argv[2]}-{i}"}
    event = journal.append("target.paused", at=datetime.now(UTC), actor="kim", payload=payload)
    sys.stdout.write(f"{event.seq} {event.hash}\\n")
    sys.stdout.flush()
"""


def appender(path: Path, name: str, events: int) -> subprocess.Popen[str]:
    """A process that appends, and says so only after each append returned."""
    command = [sys.executable, "-c", APPENDER, str(path), name, str(events)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def pause(journal: SqliteJournal, reason: str = "fair") -> None:
    """Append a small event."""
    payload = {"by": "kim", "reason": reason}
    journal.append(kinds.TARGET_PAUSED, at=NOW, actor="kim", payload=payload)


def test_every_kind_says_what_it_means_and_what_it_carries() -> None:
    """No event without a declared payload."""
    assert set(PAYLOADS) == set(kinds.KINDS)
    assert all(kinds.KINDS.values())


def test_events_survive_closing(tmp_path: Path) -> None:
    """A new process goes on where the last one stopped."""
    path = tmp_path / "mendloop.db"
    first = SqliteJournal(path)
    pause(first)
    first.close()
    second = SqliteJournal(path)
    pause(second)

    assert [event.seq for event in second.events()] == [1, 2]
    assert second.verify().ok
    second.close()


def test_no_acknowledged_event_is_lost_to_kill_9(tmp_path: Path) -> None:
    """A dozen writers killed at work: what was acknowledged is there, and the chain is whole."""
    path = tmp_path / "mendloop.db"
    acknowledged: dict[int, str] = {}
    for round_ in range(12):
        with appender(path, f"w{round_}", 10_000) as process:
            assert process.stdout is not None
            for _ in range(3 + round_ % 5):
                seq, linked = process.stdout.readline().split()
                acknowledged[int(seq)] = linked
            process.kill()
            for line in process.stdout:
                if line.endswith("\n"):
                    seq, linked = line.split()
                    acknowledged[int(seq)] = linked
    journal = SqliteJournal(path)
    stored = {event.seq: event.hash for event in journal.events()}

    assert len(acknowledged) >= 36
    assert acknowledged.items() <= stored.items()
    assert journal.verify().ok
    journal.close()


def test_two_processes_append_to_one_chain(tmp_path: Path) -> None:
    """Each event of both is there once, in the order of its writer."""
    path = tmp_path / "mendloop.db"
    with appender(path, "a", 60) as a, appender(path, "b", 60) as b:
        outputs = [process.communicate(timeout=60)[0] for process in (a, b)]
    journal = SqliteJournal(path)
    reasons = [event.payload["reason"] for event in journal.events()]

    assert journal.verify().events == 120
    assert [r for r in reasons if r.startswith("a-")] == [f"a-{i}" for i in range(60)]
    assert [r for r in reasons if r.startswith("b-")] == [f"b-{i}" for i in range(60)]
    assert all(len(output.splitlines()) == 60 for output in outputs)
    journal.close()


def test_threads_share_one_journal(tmp_path: Path) -> None:
    """The graph runs nodes on other threads than the one that opened it."""
    journal = SqliteJournal(tmp_path / "mendloop.db")

    def work() -> None:
        for i in range(20):
            pause(journal, str(i))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)

    assert journal.verify().events == 80
    journal.close()


def fill(journal: SqliteJournal) -> None:
    """Append until it no longer works, or for half a megabyte."""
    for _ in range(100):
        pause(journal, "x" * 5_000)


def test_a_full_disk_writes_nothing_and_says_so(tmp_path: Path) -> None:
    """SQLite's own limit on pages stands in for the disk: the error is the same."""
    journal = SqliteJournal(tmp_path / "mendloop.db")
    pause(journal)
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(Unavailable, match=r"disk is full.*free some space"):
        fill(journal)
    before = journal.head().seq
    journal._connection.execute("PRAGMA max_page_count = 100000")
    pause(journal)

    assert journal.head().seq == before + 1
    assert journal.verify().ok
    journal.close()


def test_a_lock_that_stays_is_unavailable(tmp_path: Path) -> None:
    """Somebody holds the file: nothing is written, and the caller may try again."""
    path = tmp_path / "mendloop.db"
    journal = SqliteJournal(path)
    journal._connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked by another process"):
        pause(journal)
    other.execute("ROLLBACK")
    other.close()
    pause(journal)

    assert journal.head().seq == 1
    journal.close()


def test_a_read_only_file_is_unavailable(tmp_path: Path) -> None:
    """mendloop refuses to act when it cannot record; a pragma stands in for the mounted disk."""
    journal = SqliteJournal(tmp_path / "mendloop.db")
    journal._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(Unavailable, match="read-only"):
        pause(journal)
    journal._connection.execute("PRAGMA query_only = OFF")
    pause(journal)

    assert journal.head().seq == 1
    journal.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The message says which path, and what to check."""
    with pytest.raises(Unavailable, match=r"nowhere/mendloop\.db.*folder exists"):
        SqliteJournal(tmp_path / "nowhere" / "mendloop.db")


def corrupt(path: Path, content: bytes) -> Path:
    """A file with this content where a journal is expected."""
    path.write_bytes(content)
    return path


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Neither opened nor overwritten."""
    path = corrupt(tmp_path / "notes.txt", b"these are my notes, please keep them\n" * 50)
    with pytest.raises(Invalid, match="not a journal"):
        SqliteJournal(path)
    with pytest.raises(Invalid, match="not a journal"):
        SqliteJournal.open_read_only(path)

    assert path.read_bytes().startswith(b"these are my notes")


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """Its tables are none of our business."""
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE events (a)")
    connection.close()

    with pytest.raises(Invalid, match="another program"):
        SqliteJournal(path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """An old mendloop does not write into a journal that it does not understand."""
    path = tmp_path / "mendloop.db"
    SqliteJournal(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(Invalid, match="format 99"):
        SqliteJournal(path)
    with pytest.raises(Invalid, match="format 99"):
        SqliteJournal.open_read_only(path)


def test_an_empty_file_is_no_journal_to_read(tmp_path: Path) -> None:
    """A writer makes a journal of it, a reader says that there is none."""
    path = corrupt(tmp_path / "mendloop.db", b"")
    with pytest.raises(Invalid, match="empty"):
        SqliteJournal.open_read_only(path)
    SqliteJournal(path).close()

    reader = SqliteJournal.open_read_only(path)
    assert reader.verify().ok
    reader.close()


def test_a_truncated_database_is_reported(tmp_path: Path) -> None:
    """Half a file: an error that says what to do, never a wrong answer."""
    path = tmp_path / "mendloop.db"
    journal = SqliteJournal(path)
    for i in range(200):
        pause(journal, f"{i} " + "x" * 200)
    journal.close()
    corrupt(path, path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises((Refused, Invalid), match=r"mendloop\.db"):
        assert not read_and_verify(path)


def read_and_verify(path: Path) -> bool:
    """Whether a reader finds it whole. Raises what opening raises."""
    reader = SqliteJournal.open_read_only(path)
    try:
        return reader.verify().ok
    finally:
        reader.close()


def test_readers_do_not_write(tmp_path: Path) -> None:
    """Audit and console cannot change what they show."""
    path = tmp_path / "mendloop.db"
    writer = SqliteJournal(path)
    pause(writer)
    reader = SqliteJournal.open_read_only(path)
    with pytest.raises(Unavailable, match="read only"):
        pause(reader)
    pause(writer)

    assert reader.head().seq == 2, "a reader sees what is written meanwhile"
    writer.close()
    reader.close()


def test_a_copy_in_a_read_only_folder_can_be_read(tmp_path: Path) -> None:
    """An auditor's medium: nothing can be made beside the journal."""
    path, archive = tmp_path / "mendloop.db", tmp_path / "archive"
    journal = SqliteJournal(path)
    pause(journal)
    journal.close()
    archive.mkdir()
    shutil.copy(path, archive / "mendloop.db")
    archive.chmod(0o500)
    reader = SqliteJournal.open_read_only(archive / "mendloop.db")

    assert reader.verify().events == 1
    reader.close()
    archive.chmod(0o700)
