"""The ports that have no fault hook of their own, seen through one: the journal and the log."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from orchestrator.journal.event import Entry, Event, Head
from orchestrator.journal.journal import Journal, Verification
from simulations.faults import Fault, exposed
from tools.prediction_log import LogExtent, PredictionLog
from tools.values import Value


class WatchedJournal:
    """Implements Journal over another one; each append may fail before it and after it."""

    def __init__(self, inner: Journal, fault: Fault) -> None:
        self._inner = inner
        self._fault = fault

    def append(
        self,
        kind: str,
        *,
        at: datetime,
        actor: str,
        payload: Value | Mapping[str, Any],
        target: str = "",
        incident: str = "",
    ) -> Event:
        """See Journal."""
        with exposed(self._fault, "journal.append"):
            return self._inner.append(
                kind, at=at, actor=actor, payload=payload, target=target, incident=incident
            )

    def append_many(self, entries: Sequence[Entry]) -> list[Event]:
        """See Journal."""
        with exposed(self._fault, "journal.append"):
            return self._inner.append_many(entries)

    def events(
        self,
        *,
        incident: str | None = None,
        target: str | None = None,
        kinds: Collection[str] | None = None,
        after: int = 0,
        until: int | None = None,
    ) -> list[Event]:
        """See Journal."""
        with exposed(self._fault, "journal.events"):
            return self._inner.events(
                incident=incident, target=target, kinds=kinds, after=after, until=until
            )

    def last(self, kind: str, *, target: str) -> Event | None:
        """See Journal."""
        with exposed(self._fault, "journal.last"):
            return self._inner.last(kind, target=target)

    def head(self) -> Head:
        """See Journal."""
        return self._inner.head()

    def hashes(self, *, after: int = 0) -> Iterator[str]:
        """See Journal."""
        return self._inner.hashes(after=after)

    def verify(self) -> Verification:
        """See Journal."""
        return self._inner.verify()

    def close(self) -> None:
        """See Journal; the world keeps the journal that controllers come and go with."""


class WatchedLog:
    """Implements PredictionLog over another one; each read may fail."""

    def __init__(self, inner: PredictionLog, fault: Fault) -> None:
        self._inner = inner
        self._fault = fault

    def extent(self, target: str) -> LogExtent:
        """See PredictionLog."""
        with exposed(self._fault, "log.extent"):
            return self._inner.extent(target)

    def predictions(
        self,
        target: str,
        *,
        start: datetime,
        end: datetime,
        columns: Sequence[str] | None = None,
        version: str | None = None,
    ) -> pd.DataFrame:
        """See PredictionLog."""
        with exposed(self._fault, "log.predictions"):
            return self._inner.predictions(
                target, start=start, end=end, columns=columns, version=version
            )

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
        """See PredictionLog."""
        with exposed(self._fault, "log.cohort"):
            return self._inner.cohort(
                target, start=start, end=end, as_of=as_of, columns=columns, version=version
            )
