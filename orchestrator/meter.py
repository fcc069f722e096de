"""Counts what mendloop does, in the words of ``metrics_words.py``, for Prometheus to scrape.

Counters follow what this process writes into the journal, so several controllers on one journal
count their own. Gauges are set from what the controller publishes after a tick. Nothing here is
asked by a decision.
"""

from __future__ import annotations

import platform
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog

from orchestrator import metrics_words as words
from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.journal import Journal
from orchestrator.journal.payloads import (
    GuardJudged,
    IncidentEscalated,
    IncidentOpened,
    IncidentResolved,
    StepOutcome,
)
from orchestrator.metrics_words import WORDS, Word
from orchestrator.time_to_detect import detections
from orchestrator.vital_signs import VitalSigns
from tools.errors import MendloopError

log = structlog.get_logger()

_DECISIONS = {
    kinds.DIAGNOSIS_MADE: "diagnosis",
    kinds.PLAN_MADE: "plan",
    kinds.PLAN_FAILED: "no plan",
    kinds.STEP_INTENDED: "step",
}
_LEASE_CHANGES = {kinds.LEASE_ACQUIRED: "acquired", kinds.LEASE_LOST: "lost"}


class Meter:
    """Every metric of one process. Threads may share it."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry

        self._registry = CollectorRegistry()
        self._metrics: dict[str, Any] = {word.name: self._made(word) for word in WORDS}
        self._seen: dict[str, set[tuple[str, ...]]] = {}
        self._lock = threading.Lock()
        info = {"version": _version(), "python": platform.python_version()}
        self._of(words.BUILD_INFO).labels(**info).set(1)

    def exposition(self) -> bytes:
        """All of it, in Prometheus's text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def add(self, word: Word, amount: float = 1, **labels: str) -> None:
        """Count on."""
        self._labelled(word, labels).inc(amount)

    def observe(self, word: Word, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
        self._labelled(word, labels).observe(value)

    def set(self, word: Word, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._labelled(word, labels).set(value)

    def set_all(self, word: Word, values: dict[str, float]) -> None:
        """Set a gauge for each value of its only label; values that are gone are forgotten."""
        with self._lock:
            metric, before = self._of(word), self._seen.get(word.name, set())
            self._seen[word.name] = {(value,) for value in values}
            for (gone,) in before - self._seen[word.name]:
                metric.remove(gone)
            for label, value in values.items():
                metric.labels(label).set(value)

    def take(self, signs: VitalSigns, *, now: datetime) -> None:
        """What a controller published."""
        self.set(words.TARGETS, signs.targets)
        self.set(words.TARGETS_HELD, len(signs.held))
        self.set(words.TARGETS_UNKNOWN, len(signs.unknown))
        self.set(words.TARGETS_PAUSED, len(signs.paused))
        self.set(words.TARGETS_TAKEN_OVER, len(signs.taken_over))
        self.set(words.MODELS_REJECTED, signs.models_rejected)
        self.set(words.RULES_REJECTED, float(signs.rules_rejected))
        self.set(words.APPROVALS_WAITING, signs.approvals_waiting)
        goals = Counter(incident.goal for incident in signs.incidents)
        self.set_all(words.INCIDENTS_OPEN, {goal: float(n) for goal, n in goals.items()})
        ages = [(now - incident.opened_at).total_seconds() for incident in signs.incidents]
        self.set(words.OLDEST_INCIDENT, max([0.0, *ages]))
        self.set_all(words.LEASE_HELD, dict.fromkeys(signs.held, 1.0))

    def ticked(self, seconds: float) -> None:
        """A tick came to its end."""
        self.observe(words.TICK_SECONDS, seconds)
        self.set(words.LAST_TICK, time.time())

    def follow(self, journal: Journal, events: Sequence[Event]) -> None:
        """These events were just appended by this process."""
        for event in events:
            try:
                self._count(journal, event)
            except MendloopError as error:
                log.warning("metrics.incomplete", event=event.seq, reason=str(error))

    def close(self) -> None:
        """Nothing is held."""

    def _count(self, journal: Journal, event: Event) -> None:
        match event.kind:
            case kinds.INCIDENT_OPENED:
                self.add(words.INCIDENTS_OPENED, goal=event.read(IncidentOpened).goal)
            case kinds.INCIDENT_RESOLVED:
                self._close(journal, event, event.read(IncidentResolved).outcome)
            case kinds.INCIDENT_ESCALATED:
                self._close(journal, event, event.read(IncidentEscalated).outcome)
            case kinds.GUARD_JUDGED:
                self._judge(event.read(GuardJudged))
            case kinds.STEP_OUTCOME:
                done = event.read(StepOutcome)
                self.add(words.STEPS, tool=done.tool, result=done.result)
            case kinds.LEASE_ACQUIRED | kinds.LEASE_LOST:
                self.add(words.LEASE_CHANGES, change=_LEASE_CHANGES[event.kind])
        if event.kind in _DECISIONS:
            self.add(words.DECISIONS, decision=_DECISIONS[event.kind])

    def _judge(self, judged: GuardJudged) -> None:
        self.add(words.RULINGS, ruling=judged.ruling.decision.value)
        for verdict in judged.ruling.verdicts:
            is_denied = verdict.result == "violated" and verdict.action == "Deny"
            if is_denied or verdict.result == "error":
                self.add(words.DENIALS, policy=verdict.policy)

    def _close(self, journal: Journal, event: Event, outcome: str) -> None:
        """How it ended, and how long it took; its events are in the journal."""
        events = journal.events(incident=event.incident)
        opened = next((each for each in events if each.kind == kinds.INCIDENT_OPENED), None)
        goal = opened.read(IncidentOpened).goal if opened is not None else ""
        self.add(words.INCIDENTS_CLOSED, goal=goal, outcome=outcome)
        if opened is not None and event.kind == kinds.INCIDENT_RESOLVED:
            took = datetime.fromisoformat(event.at) - datetime.fromisoformat(opened.at)
            self.observe(words.REPAIR_SECONDS, max(0.0, took.total_seconds()), goal=goal)
        for seen_in, seconds in detections(events):
            self.observe(words.DETECT_SECONDS, seconds, seen_in=seen_in)

    def _made(self, word: Word) -> Any:
        import prometheus_client as client

        name, told, labels, into = word.name, word.help, word.labels, self._registry
        match word.kind:
            case "gauge":
                return client.Gauge(name, told, labels, registry=into)
            case "counter":
                return client.Counter(name, told, labels, registry=into)
            case "histogram":
                return client.Histogram(name, told, labels, buckets=word.buckets, registry=into)

    def _of(self, word: Word) -> Any:
        return self._metrics[word.name]

    def _labelled(self, word: Word, labels: dict[str, str]) -> Any:
        metric = self._of(word)
        return metric.labels(**labels) if word.labels else metric


def _version() -> str:
    try:
        return version("mendloop")
    except PackageNotFoundError:
        return "unknown"
