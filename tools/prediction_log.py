"""Port: what was predicted, and what turned out to be true.

Event time rules here: ``event_time`` is when the prediction was due (for flights, the scheduled
departure) and labels carry ``known_at``, the event time at which they became known. Nothing that
reads this log may see a label whose ``known_at`` lies past ``as_of``.
Adapters: ``tools/parquet_log.py`` (Parquet and DuckDB through Ibis), ``tools/database_log.py``
(a database by URL, through Ibis).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import pandas as pd

from tools.values import Value


class LogExtent(Value):
    """How far the log reaches. ``watermark`` is the event time that the log has reached."""

    rows: int
    first: datetime | None
    watermark: datetime | None
    labels: int


class PredictionLog(Protocol):
    """Reads predictions and labels of a target; times are event times, naive UTC."""

    def extent(self, target: str) -> LogExtent:
        """Row counts and the event time reached; an empty log is an answer, not an error."""

    def predictions(
        self,
        target: str,
        *,
        start: datetime,
        end: datetime,
        columns: Sequence[str] | None = None,
        version: str | None = None,
    ) -> pd.DataFrame:
        """Rows with start <= event_time < end, ordered by (event_time, request_id).

        Columns: ``request_id, event_time, version, probability, masked`` and the features asked for
        (all when None). One row per request_id (a retried request counts once).
        """

    def cohort(
        self,
        target: str,
        *,
        start: datetime,
        end: datetime,
        as_of: datetime,
        columns: Sequence[str] = (),
        version: str | None = None,
    ) -> pd.DataFrame:
        """Like ``predictions``, left-joined with the labels known at ``as_of``.

        Adds ``label`` (float, NaN where none is known) and ``known_at``.
        """


@runtime_checkable
class FleetLog(PredictionLog, Protocol):
    """A log that tells how far many targets have come with one question."""

    def extents(self, targets: Collection[str]) -> Mapping[str, LogExtent]:
        """Of each what ``extent`` would say."""
