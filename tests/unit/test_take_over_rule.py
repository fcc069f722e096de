"""Whose a target is follows from its events, by one rule, however they are read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest

from orchestrator.journal import kinds
from orchestrator.journal.interventions import (
    BaselineAccepted,
    TargetHandedBack,
    TargetTakenOver,
)
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.take_over import Hands, Holder, holder_of

AT = datetime(2026, 1, 1, tzinfo=UTC)
SAID = {
    kinds.TARGET_TAKEN_OVER: TargetTakenOver(by="kim"),
    kinds.TARGET_HANDED_BACK: TargetHandedBack(by="kim"),
    kinds.BASELINE_ACCEPTED: BaselineAccepted(found={}),
}
TAKEN, BACK, ACCEPTED = SAID


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    opened = SqliteJournal(tmp_path / "journal.db")
    yield opened
    opened.close()


def holders(journal: SqliteJournal, *told: str) -> set[Holder]:
    """Of a target of its own: read on event by event, read at once, and asked without a memory."""
    target = f"default/{'-'.join(told) or 'untouched'}"
    followed = Hands(journal)
    for kind in told:
        journal.append(kind, at=AT, actor="kim", payload=SAID[kind], target=target)
        followed.holder(target)
    return {
        followed.holder(target),
        Hands(journal).holder(target),
        holder_of(journal, target),
    }


def test_every_reader_of_every_story_says_the_same(journal: SqliteJournal) -> None:
    """Up to four events in any order, senseless ones too."""
    for count in range(5):
        for told in product(SAID, repeat=count):
            assert len(holders(journal, *told)) == 1, told


def test_what_was_taken_again_meanwhile_is_not_accepted(journal: SqliteJournal) -> None:
    """A second person takes over between the hand-back and its acceptance."""
    assert holders(journal, TAKEN, BACK, TAKEN, ACCEPTED) == {"person"}

    assert holders(journal, TAKEN, BACK, ACCEPTED) == {"mendloop"}
    assert holders(journal, TAKEN, ACCEPTED) == {"person"}
