"""The journal's end within a tick: asked for once, never behind what was written here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from orchestrator.incident_book import IncidentBook
from orchestrator.journal import kinds
from orchestrator.journal.event import Entry, Event, Head
from orchestrator.journal.payloads import IncidentOpened
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.journal.steady import SteadyJournal
from tools.errors import Unavailable

AT = datetime(2026, 1, 1, tzinfo=UTC)
OPENED = IncidentOpened(
    goal="quality", concern="model", trigger="a test", summary="", event_time="", facts={}
)


class Counted(SqliteJournal):
    """Counts how often its end is asked for; an append may be cut off once it is done."""

    asked = 0
    is_cut = False

    def head(self) -> Head:
        self.asked += 1
        return super().head()

    def append_many(self, entries: list[Entry]) -> list[Event]:  # type: ignore[override]
        written = super().append_many(entries)
        if self.is_cut:
            raise Unavailable("the answer was lost")
        return written


@pytest.fixture
def inner() -> Iterator[Counted]:
    journal = Counted(":memory:")
    yield journal
    journal.close()


def opened(journal: SqliteJournal | SteadyJournal, incident: str) -> None:
    journal.append(
        kinds.INCIDENT_OPENED, at=AT, actor="test", payload=OPENED, target="a/b", incident=incident
    )


def known(book: IncidentBook) -> list[str]:
    return [incident.id for incident in book.of("a/b")]


def test_a_tick_asks_once_however_many_readers_it_has(inner: Counted) -> None:
    """And outside of one, each asks for itself."""
    journal = SteadyJournal(inner)
    books = [IncidentBook(journal) for _ in range(3)]
    before = inner.asked
    with journal.steady():
        for book in books * 5:
            book.of("a/b")
    assert inner.asked == before + 1
    books[0].of("a/b")
    books[0].of("a/b")
    assert inner.asked == before + 3


def test_what_others_write_is_noticed_in_the_next_tick_or_right_before_an_act(
    inner: Counted,
) -> None:
    journal = SteadyJournal(inner)
    book = IncidentBook(journal)
    with journal.steady():
        assert known(book) == []
        opened(inner, "theirs")
        assert known(book) == []
        with journal.afresh():
            assert known(book) == ["theirs"]
            opened(inner, "later")
            assert known(book) == ["theirs", "later"]
        assert known(book) == ["theirs", "later"], "what is known is not forgotten"
        opened(inner, "last")
        assert known(book) == ["theirs", "later"]
    with journal.steady():
        assert known(book) == ["theirs", "later", "last"]


def test_what_is_written_here_is_known_at_once_with_all_before_it(inner: Counted) -> None:
    journal = SteadyJournal(inner)
    book = IncidentBook(journal)
    with journal.steady():
        assert known(book) == []
        opened(inner, "theirs")
        opened(journal, "ours")
        assert known(book) == ["theirs", "ours"]


def test_an_append_whose_answer_was_lost_is_looked_for(inner: Counted) -> None:
    journal = SteadyJournal(inner)
    book = IncidentBook(journal)
    with journal.steady():
        assert known(book) == []
        inner.is_cut = True
        with pytest.raises(Unavailable):
            opened(journal, "ours")
        assert known(book) == ["ours"]


def test_a_tick_that_breaks_leaves_nothing_behind(inner: Counted) -> None:
    journal = SteadyJournal(inner)

    def tick() -> None:
        with journal.steady():
            journal.head()
            raise Unavailable("a port")

    with pytest.raises(Unavailable):
        tick()
    opened(inner, "theirs")
    assert journal.head() == inner.head()
