"""What a journal in PostgreSQL promises to several controllers that share it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.durable import open_durable
from orchestrator.incident_book import IncidentBook
from orchestrator.journal import kinds
from orchestrator.journal.address import JournalAddress
from orchestrator.journal.audit import audit
from orchestrator.journal.event import Entry, Event
from orchestrator.journal.journal import Journal
from orchestrator.journal.keys import read_verifiers
from orchestrator.journal.postgres import PostgresJournal
from orchestrator.journal.rotation import replace_lost_key, rotate_key
from orchestrator.journal.signed import SignedJournal
from tools.errors import Refused, Unavailable
from tools.postgres import Database

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)
Fresh = Callable[[], str]

APPEND = """
import sys
from datetime import UTC, datetime
from orchestrator.journal.postgres import PostgresJournal
from tools.postgres import Database
journal = PostgresJournal(Database(sys.argv[1]))
for number in range(int(sys.argv[3])):
    event = journal.append("target.paused", at=datetime(2013, 6, 3, tzinfo=UTC), actor=sys.argv[2],
                           payload={"by": sys.argv[2], "reason": str(number)})
    print(event.seq, flush=True)
"""


def appending(url: str, name: str, count: int) -> subprocess.Popen[str]:
    """A process that appends and says each number that was acknowledged."""
    command = [sys.executable, "-c", APPEND, url, name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def pause(journal: Journal, reason: str = "fair", target: str = "") -> Event:
    payload = {"by": "kim", "reason": reason}
    return journal.append(kinds.TARGET_PAUSED, at=NOW, actor="kim", payload=payload, target=target)


def test_two_processes_append_at_once_and_one_is_killed(fresh_postgres: Fresh) -> None:
    """One whole chain, with everything that was acknowledged, and at most one event more."""
    url = fresh_postgres()
    going_on = appending(url, "alive", 60)
    with appending(url, "killed", 100_000) as killed:
        assert killed.stdout is not None
        acknowledged = [int(killed.stdout.readline()) for _ in range(20)]
        killed.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in killed.stdout if line.endswith("\n")]
    others = [int(line) for line in going_on.communicate(timeout=60)[0].splitlines()]
    journal = PostgresJournal(Database(url), read_only=True)
    written = [event.seq for event in journal.events() if event.actor == "killed"]

    assert journal.verify().ok
    assert len(others) == 60
    assert written[: len(acknowledged)] == acknowledged
    assert len(written) - len(acknowledged) in (0, 1)
    assert sorted(written + others) == list(range(1, journal.head().seq + 1))
    journal.close()


def test_whoever_read_on_has_missed_nothing(fresh_postgres: Fresh) -> None:
    """Numbers become visible in their order, also while several write."""
    url, found = fresh_postgres(), []
    writers = [
        threading.Thread(target=lambda: [pause(PostgresJournal(Database(url))) for _ in range(10)])
        for _ in range(3)
    ]
    reader = PostgresJournal(Database(url, read_only=True), read_only=True)
    for writer in writers:
        writer.start()
    while len(found) < 30:
        found += [event.seq for event in reader.events(after=found[-1] if found else 0)]
    for writer in writers:
        writer.join()

    assert found == list(range(1, 31))


def test_one_controller_notices_what_another_wrote(fresh_postgres: Fresh) -> None:
    """The incident book reads on, whoever opened the incident."""
    url = fresh_postgres()
    ours, theirs = PostgresJournal(Database(url)), PostgresJournal(Database(url))
    book = IncidentBook(ours)
    assert book.every() == []
    theirs.append(
        kinds.INCIDENT_OPENED,
        at=NOW,
        actor="orchestrator",
        target="default/a",
        incident="inc-1",
        payload={"trigger": "t", "summary": "s"},
    )

    assert [incident.id for incident in book.of("default/a")] == ["inc-1"]


def test_a_stale_owner_writes_nothing(fresh_postgres: Fresh) -> None:
    """Once a newer lease is on record, records under the older one are refused."""
    url = fresh_postgres()
    old, new = PostgresJournal(Database(url)), PostgresJournal(Database(url))

    def entry(kind: str, payload: dict[str, object], token: int = 0) -> Entry:
        return Entry(kind=kind, at=NOW, actor="x", target="default/a", payload=payload, token=token)

    lease = {"holder": "second", "token": 8}
    new.append_many([entry(kinds.LEASE_ACQUIRED, lease)])
    with pytest.raises(Unavailable, match="fencing token 8"):
        old.append_many([entry(kinds.TARGET_PAUSED, {"by": "x", "reason": "y"}, token=7)])

    assert old.head().seq == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE mendloop.events SET actor = 'someone'",
        "DELETE FROM mendloop.events",
        "TRUNCATE mendloop.events",
        "UPDATE mendloop.payloads SET content = ''",
        "DELETE FROM mendloop.payloads",
        "TRUNCATE mendloop.payloads",
        "DELETE FROM mendloop.signed_checkpoints",
    ],
)
def test_the_database_refuses_to_change_what_was_written(
    fresh_postgres: Fresh, statement: str, tmp_path: Path
) -> None:
    """Against accidents; whoever drops the triggers meets the chain and the checkpoints."""
    url = fresh_postgres()
    journal = SignedJournal(JournalAddress(tmp_path, url), at=NOW, every_events=1)
    memory = {"memory": {"notes": ["x" * 50] * 100}}
    journal.append(kinds.MEMORY_SAVED, at=NOW, actor="monitor", payload=memory)
    database = Database(url)
    with (
        pytest.raises(Refused, match=r"append-only|only recorded retention"),
        database.connection() as connection,
    ):
        connection.execute(statement.encode())

    assert journal.verify().ok


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE events SET actor = 'someone' WHERE seq = 3", "changed"),
        ("DELETE FROM events WHERE seq = 3", "missing"),
        ("DELETE FROM events WHERE seq >= 3", "cut off"),
    ],
)
def test_what_an_administrator_changes_is_seen(
    fresh_postgres: Fresh, tmp_path: Path, change: str, reason: str
) -> None:
    """Triggers can be dropped; the chain and the signed checkpoints cannot be made to agree."""
    url = fresh_postgres()
    address = JournalAddress(tmp_path, url)
    journal = SignedJournal(address, at=NOW, every_events=2)
    for _ in range(4):
        pause(journal)
    journal.close()
    with Database(url).connection() as connection:
        connection.execute(b"ALTER TABLE events DISABLE TRIGGER USER")
        connection.execute(change.encode())
    found = audit(
        address.open_read_only(), address.checkpoints().notes(), read_verifiers(address.keys)
    )

    assert not found.ok
    assert found.first_bad == 3
    assert reason in found.reason


def test_controllers_sign_in_turn_and_the_whole_verifies(
    fresh_postgres: Fresh, tmp_path: Path
) -> None:
    """Two homes with one key, one database; each takes up where the other stopped."""
    url = fresh_postgres()
    with open_durable(tmp_path / "a", url, at=NOW) as first:
        shutil.copytree(tmp_path / "a" / "keys", tmp_path / "b" / "keys")
        with open_durable(tmp_path / "b", url, at=NOW) as second:
            for durable in (first, second, first):
                pause(durable.journal)
                durable.journal.sign()
    address = JournalAddress(tmp_path / "b", url)
    found = audit(
        address.open_read_only(), address.checkpoints().notes(), read_verifiers(address.keys)
    )

    assert found.ok
    assert found.signed_events == found.events == 4
    assert found.checkpoints >= 3


def test_a_controller_with_another_key_is_refused(fresh_postgres: Fresh, tmp_path: Path) -> None:
    """Two keys that take turns would look like a forgery."""
    url = fresh_postgres()
    open_durable(tmp_path / "a", url, at=NOW).close()
    (tmp_path / "c").mkdir()
    SignedJournal(tmp_path / "c" / "mendloop.db", at=NOW).close()  # makes a key of its own
    with pytest.raises(Refused, match="does not have"):
        open_durable(tmp_path / "b", url, at=NOW)
    with pytest.raises(Refused, match="another key"):
        open_durable(tmp_path / "c", url, at=NOW)

    assert not (tmp_path / "b" / "keys" / "journal.key").exists()


def test_nobody_signs_with_the_old_key_once_it_was_rotated(
    fresh_postgres: Fresh, tmp_path: Path
) -> None:
    """A controller whose key is old goes on recording; it signs again once it has the new one."""
    url = fresh_postgres()
    ours = SignedJournal(JournalAddress(tmp_path / "a", url), at=NOW)
    shutil.copytree(tmp_path / "a" / "keys", tmp_path / "b" / "keys")
    rotate_key(JournalAddress(tmp_path / "b", url), at=NOW, by="kim")
    pause(ours)
    assert not ours.sign()
    for file in (tmp_path / "b" / "keys").iterdir():
        shutil.copy2(file, tmp_path / "a" / "keys")

    assert ours.sign()
    address = JournalAddress(tmp_path / "a", url)
    assert audit(
        address.open_read_only(), address.checkpoints().notes(), read_verifiers(address.keys)
    ).ok


def test_a_lost_key_is_replaced_on_record(fresh_postgres: Fresh, tmp_path: Path) -> None:
    """The chain goes on; both public keys together verify it, the new one alone does not."""
    url = fresh_postgres()
    open_durable(tmp_path / "a", url, at=NOW).close()
    address = JournalAddress(tmp_path / "b", url)
    with pytest.raises(Refused, match="does not have"):
        SignedJournal(address, at=NOW)
    replace_lost_key(address, at=NOW, by="kim")
    with open_durable(tmp_path / "b", url, at=NOW) as durable:
        pause(durable.journal)
    both = [*read_verifiers(tmp_path / "a" / "keys"), *read_verifiers(address.keys)]
    notes = address.checkpoints().notes()

    assert audit(address.open_read_only(), notes, both).ok
    assert not audit(address.open_read_only(), notes, both[1:]).ok
    with pytest.raises(Refused, match="rotate it without"):
        replace_lost_key(address, at=NOW, by="kim")
