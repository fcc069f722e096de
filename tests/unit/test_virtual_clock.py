"""Virtual time moves when it is told to, and only then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from simulations.clock import VirtualClock

START = datetime(2013, 1, 1, tzinfo=UTC)


def test_time_stands_still_until_it_is_moved() -> None:
    """The same moves give the same readings."""
    clock = VirtualClock(START)
    assert (clock.now(), clock.monotonic_s()) == (START, 0.0)
    clock.advance(timedelta(seconds=90))

    assert (clock.now(), clock.monotonic_s()) == (START + timedelta(seconds=90), 90.0)


@pytest.mark.parametrize("by", [timedelta(hours=5), timedelta(hours=-5)])
def test_a_jump_of_the_wall_clock_takes_no_time(by: timedelta) -> None:
    """Durations are measured on the monotonic clock for this reason."""
    clock = VirtualClock(START)
    clock.jump(by)

    assert (clock.now(), clock.monotonic_s()) == (START + by, 0.0)


def test_time_has_a_zone_and_does_not_run_backwards() -> None:
    """What a real clock cannot do, this one refuses."""
    there = datetime(2013, 1, 1, 3, tzinfo=timezone(timedelta(hours=3)))

    assert VirtualClock(there).now() == START
    with pytest.raises(ValueError, match="time zone"):
        VirtualClock(START.replace(tzinfo=None))
    with pytest.raises(ValueError, match="backwards"):
        VirtualClock(START).advance(timedelta(seconds=-1))
