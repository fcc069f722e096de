"""Port: takes old rows out of a target's prediction log.

Adapters: ``tools/parquet_retention.py``, ``tools/postgres_retention.py``. Rows in other databases
are their owner's, who also fills them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from tools.values import Value


class OldRows(Value):
    """What is older than some event time."""

    rows: int
    """Requests that were answered."""
    labels: int
    """Of these, requests whose label is known."""


class LogRetention(Protocol):
    """Times are event times, naive UTC; a target without a log has no old rows."""

    def old(self, target: str, before: datetime) -> OldRows:
        """What ``forget`` would take now."""

    def forget(self, target: str, before: datetime) -> OldRows:
        """Take the predictions with event_time < before, and their labels, for good.

        Cut off in the middle, calling it again does the rest. Raises Unavailable, Refused.
        """
