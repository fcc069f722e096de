"""What every adapter of the journal port promises."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.journal import kinds
from orchestrator.journal.address import JournalAddress
from orchestrator.journal.event import GENESIS_HASH, Entry, Event, Head
from orchestrator.journal.journal import Journal
from orchestrator.journal.payloads import StepOutcome
from orchestrator.journal.postgres import PostgresJournal
from orchestrator.journal.signed import SignedJournal
from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Invalid
from tools.postgres import Database
from tools.values import Value, canonical_json

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)
PAUSED = {"by": "kim", "reason": "fair"}


ADAPTERS: dict[str, Callable[[Path, str], Journal]] = {
    "file": lambda folder, _: SqliteJournal(folder / "mendloop.db"),
    "memory": lambda _, __: SqliteJournal(":memory:"),
    "signed": lambda folder, _: SignedJournal(folder / "mendloop.db", at=NOW, every_events=2),
    "postgres": lambda _, url: PostgresJournal(Database(url)),
    "postgres, signed": lambda folder, url: SignedJournal(
        JournalAddress(folder, url), at=NOW, every_events=2
    ),
}


@pytest.fixture(params=list(ADAPTERS))
def anew(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Journal]:
    """Makes journals of one adapter, all with the same key where there is one."""
    fresh = (
        request.getfixturevalue("fresh_postgres")
        if request.param.startswith("postgres")
        else lambda: ""
    )

    def make(name: str) -> Journal:
        (tmp_path / name).mkdir()
        if (tmp_path / "first" / "keys").is_dir():
            shutil.copytree(tmp_path / "first" / "keys", tmp_path / name / "keys")
        return ADAPTERS[request.param](tmp_path / name, fresh())

    return make


@pytest.fixture
def journal(anew: Callable[[str], Journal]) -> Iterator[Journal]:
    """Every adapter, as it begins: one that signs has recorded its key."""
    opened = anew("first")
    yield opened
    opened.close()


def pause(journal: Journal, reason: str = "fair", **where: str) -> Event:
    """Append a small event."""
    payload = {"by": "kim", "reason": reason}
    return journal.append(kinds.TARGET_PAUSED, at=NOW, actor="kim", payload=payload, **where)


def test_an_empty_journal_is_whole(journal: Journal) -> None:
    """Nothing happened yet, and that verifies."""
    assert [e.kind for e in journal.events()] in ([], [kinds.JOURNAL_KEYED])
    assert (journal.head() == Head(seq=0, hash=GENESIS_HASH)) == (journal.events() == [])
    assert journal.verify().ok


def test_events_come_back_in_order_and_chained(journal: Journal) -> None:
    """Each event follows the one before, without a gap."""
    begun = journal.head().seq
    written = [pause(journal, reason=str(i)) for i in range(5)]

    assert journal.events(after=begun) == written
    assert [event.seq - begun for event in written] == [1, 2, 3, 4, 5]
    assert [event.prev_hash for event in written[1:]] == [event.hash for event in written[:-1]]
    assert journal.head() == Head(seq=begun + 5, hash=written[-1].hash)
    assert journal.verify().events == begun + 5


def test_the_hash_is_over_the_canonical_json_of_everything_else(journal: Journal) -> None:
    """Anybody with a JSON library can recompute it."""
    event = pause(journal, reason='Grüße "\\ \n \u2028 \x01')
    computed = hashlib.sha256(canonical_json(event.hashed()).encode()).hexdigest()

    assert "hash" not in event.hashed()
    assert computed == event.hash


def test_the_same_entries_make_the_same_journal(
    journal: Journal, anew: Callable[[str], Journal]
) -> None:
    """No randomness, no clock: a replay is byte for byte the same."""
    other = anew("second")
    for each in (journal, other):
        pause(each, incident="inc-1")
        pause(each, target="default/flights")

    assert journal.events() == other.events()
    other.close()


def test_times_are_kept_in_utc(journal: Journal) -> None:
    """The same instant reads the same whatever zone the caller is in."""
    there = NOW.astimezone(timezone(timedelta(hours=-5)))
    event = journal.append(kinds.TARGET_PAUSED, at=there, actor="kim", payload=PAUSED)

    assert event.at == "2013-06-03T12:00:00.000000+00:00"


def test_events_are_selected_by_incident_target_kind_and_place(journal: Journal) -> None:
    """All conditions given must agree."""
    begun = journal.head().seq
    pause(journal, incident="inc-1", target="default/a")
    pause(journal, incident="inc-2", target="default/a")
    resumed = journal.append(
        kinds.TARGET_RESUMED, at=NOW, actor="kim", payload={"by": "kim"}, target="default/a"
    )

    assert [e.seq - begun for e in journal.events(incident="inc-2")] == [2]
    assert [e.seq - begun for e in journal.events(target="default/a", after=begun + 1)] == [2, 3]
    assert journal.events(kinds=[kinds.TARGET_RESUMED]) == [resumed]
    assert journal.events(kinds=[]) == []
    assert journal.events(incident="inc-1", kinds=[kinds.TARGET_RESUMED]) == []
    assert journal.last(kinds.TARGET_PAUSED, target="default/a") == journal.events()[-2]
    assert journal.last(kinds.TARGET_PAUSED, target="default/b") is None


def test_several_events_are_written_all_or_none(journal: Journal) -> None:
    """A bad entry in the middle leaves nothing behind."""
    good = Entry(kind=kinds.TARGET_PAUSED, at=NOW, actor="kim", payload=PAUSED)
    bad = Entry(kind=kinds.TARGET_PAUSED, at=NOW, actor="kim", payload={"by": "kim"})
    begun = journal.head().seq
    with pytest.raises(Invalid, match="reason"):
        journal.append_many([good, bad])

    assert journal.head().seq == begun
    assert [event.seq - begun for event in journal.append_many([good, good])] == [1, 2]
    assert journal.append_many([]) == []


def test_a_payload_is_read_back_as_its_model(journal: Journal) -> None:
    """Writers and readers share one declaration per kind."""
    outcome = StepOutcome(key="k1", tool="promote", result="applied", output={"version": "2"})
    event = journal.append(kinds.STEP_OUTCOME, at=NOW, actor="deployer", payload=outcome)

    assert journal.events()[-1].read(StepOutcome) == outcome
    assert event.payload["output"] == {"version": "2"}


class Credential(Value):
    """Something that a careless caller might hand over."""

    by: str
    reason: SecretStr


REFUSED: dict[str, Callable[[Journal], object]] = {
    "unknown kind": lambda j: j.append("step.guessed", at=NOW, actor="x", payload={}),
    "no time zone": lambda j: j.append(
        kinds.TARGET_PAUSED, at=NOW.replace(tzinfo=None), actor="x", payload=PAUSED
    ),
    "nobody": lambda j: j.append(kinds.TARGET_PAUSED, at=NOW, actor="", payload=PAUSED),
    "control characters": lambda j: pause(j, target="default/\x1b[2J"),
    "a field too many": lambda j: j.append(
        kinds.TARGET_PAUSED, at=NOW, actor="x", payload={**PAUSED, "colour": "red"}
    ),
    "not a number": lambda j: j.append(
        kinds.EVIDENCE_JUDGED,
        at=NOW,
        actor="x",
        payload={
            "question": "q",
            "verdict": "unknown",
            "reason": "r",
            "figures": {"e": float("nan")},
        },
    ),
    "not a number, deep inside": lambda j: j.append(
        kinds.INCIDENT_OPENED,
        at=NOW,
        actor="x",
        payload={"trigger": "t", "summary": "s", "facts": {"a": [float("inf")]}},
    ),
    "no JSON form": lambda j: j.append(
        kinds.MEMORY_SAVED, at=NOW, actor="x", payload={"memory": {"a": object()}}
    ),
    "half a character": lambda j: pause(j, reason="\ud800"),
    "too large": lambda j: pause(j, reason="x" * 1_100_000),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_recorded_faithfully_is_refused(journal: Journal, case: str) -> None:
    """A clear error, and the journal is as it was."""
    begun = journal.head()
    with pytest.raises(Invalid):
        REFUSED[case](journal)

    assert journal.head() == begun
    pause(journal)
    assert journal.verify().ok


def test_secrets_do_not_enter(journal: Journal) -> None:
    """What is typed as a secret is masked on the way in, and so is what looks like one."""
    planted = Credential(by="kim", reason=SecretStr("hunter2-1234567890"))
    journal.append(kinds.TARGET_PAUSED, at=NOW, actor="kim", payload=planted)
    journal.append(
        kinds.STEP_OUTCOME,
        at=NOW,
        actor="deployer",
        payload={
            "key": "k",
            "tool": "promote",
            "result": "failed",
            "detail": "GET https://kim:hunter2@mlflow:5000 said 401",
            "output": {"headers": [{"Authorization": "Bearer hunter2hunter2"}], "token": 7},
        },
    )
    told = canonical_json([event.model_dump() for event in journal.events()])

    assert "hunter2" not in told
    assert "https://[redacted]@mlflow:5000" in told
    assert '"token":7' in told, "a fencing token is a number and no secret"


def big(journal: Journal, text: str = "x") -> Event:
    """A snapshot that is too large to stand in the chain itself."""
    memory = {"memory": {"notes": [text * 50] * 100}}
    return journal.append(kinds.MEMORY_SAVED, at=NOW, actor="monitor", payload=memory)


def test_a_large_payload_reads_like_any_other(journal: Journal) -> None:
    """It is stored apart under its digest; readers need not know."""
    written, small = big(journal), pause(journal)

    assert written.payload_digest.startswith("sha256:")
    assert small.payload_digest == ""
    assert journal.events()[-2:] == [written, small]
    assert journal.last(kinds.MEMORY_SAVED, target="") == written
    computed = hashlib.sha256(canonical_json(written.payload).encode()).hexdigest()
    assert written.payload_digest == f"sha256:{computed}"
    assert journal.verify().ok


def test_what_is_written_is_what_is_read(journal: Journal) -> None:
    """The event that append returns is the one that comes back, of every size and form."""
    for text in ("x", 'ünï \\ " \u2028'):
        assert big(journal, text) == journal.events()[-1]
        assert pause(journal, text) == journal.events()[-1]
