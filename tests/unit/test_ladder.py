"""Autonomy that is earned by record and lost at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.journal import kinds
from orchestrator.journal.payloads import AutonomyChanged
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.ladder import RUNGS, LadderBook, Standing, due_move, rung_of
from tools.managed_model import Guardrails

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
TARGET = "default/flights"
RULES = Guardrails.model_validate(
    {"autonomy": "auto", "ladder": {"start": "propose", "incidents": 2, "within": "30d"}}
)


class Record:
    """A journal that tells stories of one target."""

    def __init__(self) -> None:
        self.journal = SqliteJournal(":memory:")
        self.day = 0
        self.count = 0

    def write(self, kind: str, incident: str = "", **payload: Any) -> None:
        self.journal.append(
            kind, at=NOW, actor="x", target=TARGET, incident=incident, payload=payload
        )

    def incident(self, *tools: str, outcome: str = "promoted", broken: str = "") -> None:
        """One incident from its opening to its end, a day later than the last."""
        self.day += 1
        self.count += 1
        name = f"inc-{self.count}"
        self.write(kinds.INCIDENT_OPENED, name, trigger="x", summary="x")
        for tool in tools:
            self.write(kinds.STEP_OUTCOME, name, key=tool, tool=tool, result="applied")
            verdict = "broken" if tool == broken else "holds"
            self.write(kinds.STEP_VERIFIED, name, key=tool, tool=tool, verdict=verdict)
        if outcome == "escalated":
            self.write(kinds.INCIDENT_ESCALATED, name, event_time=self.event_time)
        else:
            self.write(kinds.INCIDENT_RESOLVED, name, outcome=outcome, event_time=self.event_time)

    @property
    def event_time(self) -> str:
        return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=self.day)).strftime(
            "%Y-%m-%dT%H:%M:%S"
        )

    @property
    def standing(self) -> Standing:
        book = LadderBook()
        for event in self.journal.events():
            book.take(event)
        return book.standing(TARGET)

    def move(self, rules: Guardrails = RULES) -> AutonomyChanged | None:
        """The move that is due; it is written down."""
        due = due_move(rules, self.standing, self.event_time)
        if due is not None:
            self.write(kinds.AUTONOMY_CHANGED, **due.model_dump())
        return due


@pytest.fixture
def record() -> Record:
    return Record()


def test_without_a_ladder_autonomy_is_what_the_document_says(record: Record) -> None:
    """However good or bad the record is."""
    plain = Guardrails(autonomy="approve")
    for _ in range(9):
        record.incident("start_canary", "promote")
    record.incident("promote", "switch_back", outcome="switched back")

    assert rung_of(plain, record.standing) == "approve"
    assert record.move(plain) is None


def test_each_rung_is_earned_anew_and_the_ceiling_holds(record: Record) -> None:
    """Two incidents closed well per rung; what counted for one does not count for the next."""
    seen = []
    for _ in range(8):
        record.incident("start_canary", "promote")
        record.move()
        seen.append(rung_of(RULES, record.standing))

    assert seen == ["propose", "approve", "approve", "auto", "auto", "auto", "auto", "auto"]


@pytest.mark.parametrize(
    "story",
    [
        {"tools": ("start_canary", "roll_back"), "outcome": "undone"},
        {"tools": ("leave_alone",), "outcome": "left alone"},
        {"tools": ("retrain_full",), "outcome": "escalated"},
    ],
)
def test_what_was_not_closed_well_earns_nothing(record: Record, story: dict[str, Any]) -> None:
    """Undone, left alone, or handed to a person."""
    record.incident("start_canary", "promote")
    record.incident(*story["tools"], outcome=story["outcome"])

    assert record.move() is None


def test_an_undone_canary_ends_the_row_but_takes_no_rung(record: Record) -> None:
    """That is what canaries are for."""
    record.incident("start_canary", "promote")
    record.incident("start_canary", "roll_back", outcome="undone")
    record.incident("start_canary", "promote")

    assert record.move() is None
    record.incident("start_canary", "promote")
    assert record.move() is not None


def test_a_row_that_is_too_long_ago_does_not_count(record: Record) -> None:
    """Within 30 days of event time."""
    record.incident("start_canary", "promote")
    record.day += 40
    record.incident("start_canary", "promote")

    assert record.move() is None


@pytest.mark.parametrize("rung", RUNGS[1:])
def test_each_loss_takes_one_rung_at_once_and_says_why(record: Record, rung: str) -> None:
    """An undone promotion; below the lowest rung there is none."""
    record.write(kinds.AUTONOMY_CHANGED, before="observe", after=rung, cause="set", reason="x")
    record.incident("promote", "switch_back", outcome="switched back")
    moved = record.move()

    assert moved is not None
    assert (moved.cause, RUNGS.index(moved.after)) == ("revoked", RUNGS.index(rung) - 1)
    assert "its own promotion had to be undone" in moved.reason
    assert record.move() is None


def test_a_broken_promise_of_a_routing_step_takes_a_rung_a_failed_training_does_not(
    record: Record,
) -> None:
    """Traffic that does not go where it was sent is mendloop's fault; a bad model is not."""
    record.incident("retrain_full", outcome="escalated", broken="retrain_full")
    assert record.move() is None

    record.incident("advance_canary", outcome="escalated", broken="advance_canary")
    moved = record.move()
    assert moved is not None
    assert "advance_canary did not do what it promises" in moved.reason


def test_a_take_over_takes_a_rung(record: Record) -> None:
    """Somebody saw a reason to work by hand."""
    record.write(kinds.TARGET_TAKEN_OVER, by="kim", reason="odd")
    moved = record.move()

    assert moved is not None
    assert (moved.before, moved.after) == ("propose", "observe")


def test_on_the_lowest_rung_trouble_is_no_reason_to_move(record: Record) -> None:
    """And a clean row after it leads up again."""
    record.write(kinds.AUTONOMY_CHANGED, before="propose", after="observe", cause="set", reason="x")
    record.write(kinds.TARGET_TAKEN_OVER, by="kim", reason="odd")
    assert record.move() is None

    record.incident(outcome="escalated")
    record.incident(outcome="escalated")
    moved = record.move()
    assert moved is not None
    assert (moved.before, moved.after, moved.cause) == ("observe", "propose", "earned")


def test_where_climbing_is_not_automatic_only_the_way_down_is(record: Record) -> None:
    """A person takes each rung up."""
    by_hand = Guardrails.model_validate(
        {"autonomy": "auto", "ladder": {"start": "propose", "incidents": 1, "automatic": False}}
    )
    record.incident("start_canary", "promote")
    assert record.move(by_hand) is None

    record.incident("promote", "switch_back", outcome="switched back")
    assert record.move(by_hand) is not None


def test_a_lower_ceiling_in_the_document_holds_at_once(record: Record) -> None:
    """Whatever was earned before."""
    record.write(kinds.AUTONOMY_CHANGED, before="approve", after="auto", cause="earned", reason="x")
    lowered = RULES.model_copy(update={"autonomy": "propose"})

    assert rung_of(RULES, record.standing) == "auto"
    assert rung_of(lowered, record.standing) == "propose"
