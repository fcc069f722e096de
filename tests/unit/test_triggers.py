"""When a trigger is due, whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.memory import TargetMemory
from agents.monitor.refresh import note_due
from simulations.population import parcels_model
from tools.prediction_log import LogExtent
from tools.triggers import Dealt, Triggers, is_from_the_future, last_due, why_due

MONDAY = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
WEEKLY = Triggers(cron="0 4 * * 1")
HOUR = timedelta(hours=1)


def dealt(at: datetime, labels: int = 0) -> Dealt:
    return Dealt(at=at.isoformat(), labels=labels)


@pytest.mark.parametrize(
    ("now", "is_due"),
    [
        (MONDAY - timedelta(seconds=1), False),
        (MONDAY, True),
        (MONDAY + timedelta(seconds=30), True),
        (MONDAY + timedelta(days=3), True),
    ],
)
def test_a_time_is_due_from_its_first_second_on(now: datetime, is_due: bool) -> None:
    """Also long after it, when nobody was there."""
    assert bool(why_due(WEEKLY, dealt(MONDAY - HOUR), now, 0)) is is_due


def test_of_many_missed_times_only_the_last_is_made_up_for() -> None:
    """A month of downtime is one retraining, and what was dealt with is not due again."""
    now = MONDAY + timedelta(weeks=4, hours=2)

    assert last_due(WEEKLY, now, MONDAY - HOUR) == MONDAY + timedelta(weeks=4)
    assert why_due(WEEKLY, dealt(now), now + timedelta(days=6), 0) == ""
    assert why_due(WEEKLY, dealt(now), MONDAY + timedelta(weeks=5), 0) != ""


@pytest.mark.parametrize("triggers", [WEEKLY, Triggers(every=timedelta(days=7))])
def test_a_clock_that_is_set_back_makes_nothing_due_twice_nor_never_again(
    triggers: Triggers,
) -> None:
    """Half an hour back: waited out. Years back: begun anew from there."""
    done = dealt(MONDAY + HOUR / 2)

    assert why_due(triggers, done, MONDAY, 0) == ""
    assert not is_from_the_future(triggers, done, MONDAY - HOUR)
    assert is_from_the_future(triggers, done, MONDAY - timedelta(days=700))


def test_rows_count_since_the_last_time() -> None:
    triggers = Triggers(new_rows=10_000)

    assert why_due(triggers, dealt(MONDAY, 500), MONDAY, 10_499) == ""
    assert why_due(triggers, dealt(MONDAY, 500), MONDAY, 10_500) == "10,000 new labelled rows"


def test_a_hybrid_waits_for_both() -> None:
    """Weekly, and only when there is something to learn; late rows make it due later."""
    both = Triggers(cron="0 4 * * 1", new_rows=100, require="all")
    either = both.model_copy(update={"require": "any"})

    assert why_due(both, dealt(MONDAY - HOUR), MONDAY, 99) == ""
    assert why_due(both, dealt(MONDAY - HOUR), MONDAY - HOUR / 2, 100) == ""
    assert "and 100 new" in why_due(both, dealt(MONDAY - HOUR), MONDAY + HOUR, 100)
    assert why_due(either, dealt(MONDAY - HOUR), MONDAY, 0) != ""


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"cron": "every monday"}, "five fields"),
        ({"cron": "0 0 30 2 *"}, "five fields"),
        ({"cron": "0 0 4 * * 1"}, "five fields"),
        ({"cron": "0 4 * * 1", "every": "7d"}, "one of triggers.cron and triggers.every"),
        ({"every": "1s"}, "1m or more"),
        ({"require": "all"}, "expected one of"),
        ({"newRows": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(document: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Triggers.model_validate(document)


@given(
    st.sampled_from(["0 4 * * 1", "*/15 * * * *", "30 2 1 * *", "0 0 29 2 *"]),
    st.integers(0, 3_000_000_000),
    st.timedeltas(timedelta(), timedelta(days=40)),
)
def test_each_due_time_is_due_once(cron: str, begin_s: int, gap: timedelta) -> None:
    """Dealt with at a moment, nothing up to that moment is due any more, and nothing is due that
    lies before the last time."""
    triggers, since = Triggers(cron=cron), datetime.fromtimestamp(begin_s, tz=UTC)
    now = since + gap
    due = last_due(triggers, now, since)

    assert due is None or since < due <= now
    assert why_due(triggers, dealt(now), now, 0) == ""
    assert not is_from_the_future(triggers, dealt(now), now)


def test_rows_that_were_pruned_are_not_waited_for() -> None:
    """Once the log holds fewer labels than were dealt with, new ones count from there."""
    spec = {"triggers": {"newRows": 1_000}}
    model = parcels_model("history.parquet", **spec)
    began, now = MONDAY, MONDAY + HOUR
    memory = TargetMemory(refresh=dealt(began, labels=50_000))

    memory = note_due(model, memory, now, extent(labels=20_000))
    assert memory.refresh == dealt(began, labels=20_000)
    memory = note_due(model, memory, now, extent(labels=20_999))
    assert memory.refresh is not None
    assert not memory.refresh.due
    memory = note_due(model, memory, now, extent(labels=21_000))

    assert memory.refresh is not None
    assert memory.refresh.due == "1,000 new labelled rows"


def extent(labels: int) -> LogExtent:
    now = MONDAY.replace(tzinfo=None)
    return LogExtent(rows=labels, first=now - HOUR, watermark=now, labels=labels)
