"""A clock that stands still until the simulation moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class VirtualClock:
    """Implements Clock in virtual time; the same moves give the same readings."""

    def __init__(self, start: datetime = datetime(2013, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock needs a time zone")
        self._now = start.astimezone(UTC)
        self._elapsed = timedelta()

    def now(self) -> datetime:
        """Virtual wall-clock time, UTC."""
        return self._now

    def monotonic_s(self) -> float:
        """Virtual seconds since the start; jumps of the wall clock do not show here."""
        return self._elapsed.total_seconds()

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        if by < timedelta():
            raise ValueError(f"time does not run backwards: {by}")
        self._now += by
        self._elapsed += by

    def jump(self, by: timedelta) -> None:
        """Set the wall clock forward or back, as NTP or an operator may; no time passes."""
        self._now += by
