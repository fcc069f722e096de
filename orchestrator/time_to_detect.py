"""How long something had been wrong before it was found, where the journal knows since when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from orchestrator.journal import kinds
from orchestrator.journal.event import Event


def detections(events: Sequence[Event]) -> Iterator[tuple[str, float]]:
    """(where it was seen, seconds) of one incident's events: ``data`` and ``labels`` in event time,
    ``canary`` by the wall clock since its traffic was raised last. What is not known is left out.
    """
    opened = next((e for e in events if e.kind == kinds.INCIDENT_OPENED), None)
    found_at = opened.payload.get("event_time", "") if opened is not None else ""
    for seen_in, begins in (("data", _faults(events)), ("labels", _changes(events))):
        if begins and found_at:
            yield seen_in, _between(min(begins), found_at)
    raised = ""
    for event in events:
        if event.kind == kinds.TRAFFIC_SHIFTED:
            raised = event.at
        elif event.kind == kinds.EVIDENCE_JUDGED and event.payload.get("verdict") == "harmful":
            if raised:
                yield "canary", _between(raised, event.at)
            return


def _faults(events: Sequence[Event]) -> list[str]:
    """Since when data could not be believed."""
    found: list[str] = []
    for event in events:
        if event.kind == kinds.DIAGNOSIS_MADE:
            faults = (event.payload.get("evidence") or {}).get("data") or []
            found += [fault["since"] for fault in faults if fault.get("since")]
    return found


def _changes(events: Sequence[Event]) -> list[str]:
    """Since when labels show that the champion is wrong."""
    memories: list[dict[str, Any]] = [
        event.payload.get("memory") or {} for event in events if event.kind == kinds.MEMORY_SAVED
    ]
    pinned = [memory.get("pinned") or {} for memory in memories]
    return [each["changed_at"] for each in pinned if each.get("changed_at")]


def _between(begin: str, end: str) -> float:
    return max(0.0, (_naive(end) - _naive(begin)).total_seconds())


def _naive(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)
