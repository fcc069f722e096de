"""Freeze windows: local times, daylight saving, and documents that are wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.change_calendar import ChangeCalendar, calendar_at
from orchestrator.local_time import instant
from tools.documents import parse_document
from tools.errors import Invalid

NEW_YORK = ZoneInfo("America/New_York")
"""Forward on 9 March 2025 (02:00 to 03:00, 07:00 UTC), back on 2 November (02:00 to 01:00)."""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def calendar(text: str, *, zone: str = "America/New_York") -> ChangeCalendar:
    spec = {"timeZone": zone, **yaml.safe_load(text)}
    document = {
        "apiVersion": "mendloop.dev/v1alpha1",
        "kind": "ChangeCalendar",
        "metadata": {"name": "shop"},
        "spec": spec,
    }
    return parse_document(document, ChangeCalendar, source="shop.yaml")


def frozen(found: ChangeCalendar, at: str) -> bool:
    return bool(found.freezes_at(utc(at)))


def test_a_window_holds_in_its_own_zone_from_its_beginning_to_before_its_end() -> None:
    """18:00 in New York in winter is 23:00 UTC."""
    year_end = calendar(
        "freezes: [{name: year-end, from: 2025-12-19T18:00:00, until: 2026-01-05T08:00:00}]"
    )

    assert not frozen(year_end, "2025-12-19T22:59:59")
    assert frozen(year_end, "2025-12-19T23:00:00")
    assert frozen(year_end, "2026-01-05T12:59:59")
    assert not frozen(year_end, "2026-01-05T13:00:00")


def test_a_weekly_window_crosses_the_week_and_keeps_local_time_over_the_change_of_clocks() -> None:
    """Friday 16:00 to Monday 08:00: on the weekend of the change the end moves in UTC."""
    weekends = calendar(
        "freezes: [{name: weekends, weekly: {from: friday 16:00, until: monday 08:00}}]"
    )

    assert not frozen(weekends, "2025-03-07T20:59:00")
    assert frozen(weekends, "2025-03-07T21:00:00")
    assert frozen(weekends, "2025-03-10T11:59:00")
    assert not frozen(weekends, "2025-03-10T12:00:00")
    assert frozen(weekends, "2025-03-17T11:59:00")


def test_a_daily_window_over_midnight() -> None:
    """An end before the beginning is on the next day; YAML may read 22:00 as a number."""
    nights = calendar("freezes: [{name: nights, daily: {from: 22:00, until: 06:00}}]", zone="UTC")

    assert [frozen(nights, f"2025-06-04T{hour:02}:30:00") for hour in (5, 6, 21, 22)] == [
        True,
        False,
        False,
        True,
    ]


def test_a_beginning_that_the_clocks_skip_is_the_moment_of_the_change() -> None:
    """02:30 does not exist on 9 March: the freeze begins at 07:00 UTC, when it becomes 03:00."""
    gap = calendar("freezes: [{name: gap, from: 2025-03-09T02:30:00, until: 2025-03-09T12:00:00}]")

    assert not frozen(gap, "2025-03-09T06:59:59")
    assert frozen(gap, "2025-03-09T07:00:00")


def test_an_end_that_the_clocks_skip_is_the_moment_of_the_change() -> None:
    """Until 02:30: over when it becomes 03:00, not an hour later."""
    gap = calendar("freezes: [{name: gap, from: 2025-03-09T00:00:00, until: 2025-03-09T02:30:00}]")

    assert frozen(gap, "2025-03-09T06:59:59")
    assert not frozen(gap, "2025-03-09T07:00:00")


def test_a_doubtful_hour_is_frozen() -> None:
    """01:30 is twice on 2 November: a freeze begins with the first and ends with the second."""
    begins = calendar(
        "freezes: [{name: begins, from: 2025-11-02T01:30:00, until: 2025-11-02T12:00:00}]"
    )
    ends = calendar(
        "freezes: [{name: ends, from: 2025-11-01T12:00:00, until: 2025-11-02T01:30:00}]"
    )

    assert not frozen(begins, "2025-11-02T05:29:59")
    assert frozen(begins, "2025-11-02T05:30:00")
    assert frozen(begins, "2025-11-02T06:15:00")  # 01:15 for the second time
    assert frozen(ends, "2025-11-02T06:29:59")
    assert not frozen(ends, "2025-11-02T06:30:00")


@settings(max_examples=150, deadline=None)
@given(
    zone=st.sampled_from(["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "UTC"]),
    minutes=st.integers(0, 366 * 24 * 60),
)
def test_a_local_time_never_lies_before_one_that_was_earlier(zone: str, minutes: int) -> None:
    """Over every gap and overlap; and the last occurrence is never before the first."""
    local = datetime.fromisoformat("2025-01-01") + timedelta(minutes=minutes)
    where = ZoneInfo(zone)
    first, last = instant(local, where, last=False), instant(local, where, last=True)
    later = instant(local + timedelta(minutes=1), where, last=True)

    assert first <= last <= later
    if first.astimezone(where).replace(tzinfo=None) != local:  # skipped: the first moment after it
        assert first.astimezone(where).replace(tzinfo=None) > local
        before = (first - timedelta(seconds=1)).astimezone(where).replace(tzinfo=None)
        assert before < local


def test_rules_read_local_time_freezes_and_holidays() -> None:
    """In the target's zone; freezes and holidays of the calendars that name the target."""
    shop = calendar(
        """
        targets: ["shop/*"]
        freezes: [{name: sale, from: 2025-11-28T00:00:00, until: 2025-12-01T00:00:00}]
        holidays:
          - {name: Thanksgiving, dates: [2025-11-27]}
          - {name: Christmas, dates: [2025-12-25], frozen: true}
        """
    )
    sale = calendar_at([shop], "shop/price", "Europe/Berlin", utc("2025-11-28T12:30:00"))
    off = calendar_at([shop], "shop/price", "America/New_York", utc("2025-11-27T12:30:00"))
    feast = calendar_at([shop], "shop/price", "UTC", utc("2025-12-25T05:00:00"))
    other = calendar_at([shop], "other/price", "UTC", utc("2025-11-28T12:30:00"))

    assert (sale.local_time, sale.weekday, sale.hour) == ("2025-11-28T13:30:00+01:00", "friday", 13)
    assert sale.freezes == ("shop: sale",)
    assert sale.frozen_until == utc("2025-12-01T05:00:00")
    assert (off.freezes, off.holidays) == ((), ("shop: Thanksgiving",))
    assert feast.freezes == ("shop: Christmas",)
    assert (other.freezes, other.frozen_until) == ((), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("freezes: [{name: x}]", "either from and until, or weekly, or daily"),
        ("freezes: [{name: x, from: 2025-11-28T00:00:00}]", "either from and until"),
        (
            "freezes: [{name: x, from: 2025-11-28T00:00:00, until: 2025-11-01T00:00:00}]",
            "until must be after from",
        ),
        (
            "freezes: [{name: x, from: 2025-11-28T00:00:00Z, until: 2025-11-29T00:00:00Z}]",
            "timezone",
        ),
        ("freezes: [{name: x, weekly: {from: frday 16:00, until: monday 08:00}}]", "weekday"),
        ("freezes: [{name: x, weekly: {from: friday 25:00, until: monday 08:00}}]", "hour"),
        ("timeZone: Mars/Olympus", "IANA zone"),
        ("holidays: [{name: x, dates: []}]", "dates"),
        ("freeze: []", "unknown field"),
    ],
)
def test_a_calendar_that_is_wrong_is_refused_with_the_reason(text: str, said: str) -> None:
    """Rather than frozen never, or for ever."""
    with pytest.raises(Invalid, match=said):
        calendar(text)


def test_a_calendar_needs_its_zone() -> None:
    """A freeze in nobody's time is in the wrong one."""
    document: dict[str, Any] = {
        "apiVersion": "mendloop.dev/v1alpha1",
        "kind": "ChangeCalendar",
        "metadata": {"name": "shop"},
        "spec": {},
    }
    with pytest.raises(Invalid, match="timeZone"):
        parse_document(document, ChangeCalendar, source="shop.yaml")
