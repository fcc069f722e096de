"""Makes the Outcome: from the client's record, the journal and the registry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from examples.flights.outcome import (
    ActionTaken,
    Crash,
    IncidentTold,
    JournalState,
    Requests,
    TrafficPoint,
    VersionServed,
)
from examples.flights.story import NOT_YET_LOOKING
from examples.flights.year import Year
from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.incidents import duplicated_effects, fold_incidents
from orchestrator.journal.journal import Journal
from tools.registry import ModelVersion

OK = 200
_REQUESTS_PER_POINT = 400
"""While several versions share the traffic; 400 requests tell 5 % from 10 %."""


def tell_incidents(events: Sequence[Event]) -> tuple[IncidentTold, ...]:
    """Every incident of the journal, oldest first."""
    return tuple(
        IncidentTold(
            id=incident.id,
            trigger=incident.trigger,
            diagnosis=incident.diagnosis,
            actions=tuple(
                ActionTaken(
                    tool=action.tool,
                    outcome=f"{action.outcome}, {action.verdict}".rstrip(", "),
                    started=action.started,
                    finished=action.finished,
                    detail=action.detail,
                )
                for action in incident.actions
            ),
            outcome=incident.outcome or incident.status,
            detected_at=incident.detected_at,
            resolved_at=incident.resolved_at,
            event_time=incident.event_time,
            resolved_event_time=incident.resolved_event_time,
        )
        for incident in fold_incidents(events)
    )


def tell_versions(year: Year, registered: Sequence[ModelVersion]) -> tuple[VersionServed, ...]:
    """Every registered version, with what the client saw of it."""
    told = []
    for version in registered:
        mine = year.rows[year.rows["version"] == version.version]
        times = mine["scheduled_departure"]
        told.append(
            VersionServed(
                version=version.version,
                data_digest=version.data_digest,
                artifact_digest=version.artifact_digest,
                gates=version.gates,
                served_from=times.min().isoformat() if len(mine) else "",
                served_until=times.max().isoformat() if len(mine) else "",
                answers=int((mine["status"] == OK).sum()),
                failures=int((mine["status"] != OK).sum()),
                is_bad_release=version.version == year.director.bad_version,
            )
        )
    return tuple(told)


def tell_traffic(year: Year, first_version: str) -> tuple[TrafficPoint, ...]:
    """Weight and observed share over the replay: by day, finer while versions share the traffic."""
    sent = year.rows["status"] >= 0
    rows = year.rows[sent]
    weights = _weights(year, first_version)[sent.to_numpy()]
    return tuple(_point(rows.iloc[part], weights[part]) for part in _stretches(rows, weights))


def tell_requests(year: Year) -> Requests:
    """All requests; failures of the bad release apart from all others."""
    rows = year.rows[year.rows["status"] >= 0]
    failed = rows["status"] != OK
    bad = (rows["version"] == year.director.bad_version) & (rows["version"] != "")
    causes = rows.loc[failed, "status"].astype(str) + " v" + rows.loc[failed, "version"]
    return Requests(
        total=len(rows),
        answered=int((~failed).sum()),
        failed_by_bad_release=int((failed & bad).sum()),
        failed_otherwise=int((failed & ~bad).sum()),
        met_bad_release=int(bad.sum()),
        p50_ms=float(rows["latency_s"].median() * 1000),
        p99_ms=float(rows["latency_s"].quantile(0.99) * 1000),
        failures={str(cause): int(count) for cause, count in causes.value_counts().items()},
    )


def tell_crash(year: Year, events: Sequence[Event]) -> Crash:
    """The kill, and the first thing that the successor wrote about the target after its lease."""
    duplicated = duplicated_effects(events)
    kill = year.director.kill
    if kill is None:
        return Crash(duplicated_effects=duplicated)
    later = [
        pd.Timestamp(event.at)
        for event in events
        if event.target and event.kind not in NOT_YET_LOOKING and pd.Timestamp(event.at) > kill.at
    ]
    return Crash(
        killed_at=kill.at.isoformat(),
        resumed_at=later[0].isoformat() if later else "",
        unwatched_s=(later[0] - kill.at).total_seconds() if later else None,
        split_when_killed=kill.split,
        duplicated_effects=duplicated,
        event_time=kill.event_time.isoformat(),
    )


def tell_journal(journal: Journal) -> JournalState:
    """Recompute the chain from the first event."""
    found = journal.verify()
    return JournalState(events=found.events, verified=found.ok, reason=found.reason)


def _weights(year: Year, first_version: str) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    """Per row, the split that the route said when the request was sent."""
    shifts = [event for event in year.story.events if event.kind == kinds.TRAFFIC_SHIFTED]
    splits = [{first_version: 100}, *(dict(event.payload["after"]) for event in shifts)]
    times = pd.DatetimeIndex([pd.Timestamp(event.at).tz_localize(None) for event in shifts])
    order = times.searchsorted(year.sent_at().to_numpy(), side="right")
    return np.array([splits[position] for position in order], dtype=object)


def _stretches(
    rows: pd.DataFrame, weights: np.ndarray[tuple[int], np.dtype[np.object_]]
) -> Iterator[slice]:
    """Slices of rows of one day and one split, cut shorter while versions share the traffic."""
    if rows.empty:
        return
    days = rows["scheduled_departure"].dt.normalize().to_numpy()
    shared = np.array([len([p for p in split.values() if p]) > 1 for split in weights])
    start = 0
    for row in range(1, len(rows) + 1):
        is_end = row == len(rows)
        full = not is_end and shared[start] and row - start >= _REQUESTS_PER_POINT
        changed = is_end or weights[row] is not weights[start]
        new_day = not is_end and not shared[start] and days[row] != days[start]
        if is_end or full or changed or new_day:
            yield slice(start, row)
            start = row


def _point(
    rows: pd.DataFrame, weights: np.ndarray[tuple[int], np.dtype[np.object_]]
) -> TrafficPoint:
    met = rows.loc[rows["version"] != "", "version"].value_counts(normalize=True)
    return TrafficPoint(
        event_time=rows["scheduled_departure"].iloc[0].isoformat(),
        requests=len(rows),
        weights={str(version): float(percent) for version, percent in weights[0].items()},
        observed={str(version): round(float(share) * 100, 2) for version, share in met.items()},
    )
