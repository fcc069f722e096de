"""Time as an argument: the wall clock for people, the monotonic clock for durations.

Event time (when a flight departs, when a label becomes known) never comes from here: it is read
from the prediction log.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the controller knows of time."""

    def now(self) -> datetime:
        """Wall-clock time, timezone-aware, UTC. May jump: never subtract two of these."""

    def monotonic_s(self) -> float:
        """Seconds that only grow, for durations and deadlines within one process."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()
