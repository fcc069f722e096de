"""What the journal tells while the demo runs: how traffic is split, and what is being worked on.

Read-only: nothing that mendloop decides depends on this.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Invalid, Unavailable

_WALL_CLOCK_TOOLS = frozenset(
    {
        "pin_training_data",
        "retrain_recent",
        "retrain_full",
        "deploy_challenger",
        "fall_back_to_trusted_data",
        "quarantine_window",
        "restore_inputs",
        "promote",
        "roll_back",
        "switch_back",
        "withdraw_challenger",
        "retire_version",
    }
)
_CANARY_TOOLS = frozenset(
    {"start_canary", "judge_canary", "advance_canary", "check_training_serving_skew"}
)

_CONTROLLER_START_S = 60.0
"""Imports are cold on a machine that has just set up its environment."""

NOT_YET_LOOKING = frozenset({kinds.LEASE_ACQUIRED, kinds.LEASE_LOST})
"""What a new controller writes about a target before it has seen anything of it."""


_ANSWERS = frozenset(
    {
        kinds.APPROVAL_GIVEN,
        kinds.APPROVAL_REJECTED,
        kinds.APPROVAL_EXPIRED,
        kinds.APPROVAL_INVALIDATED,
    }
)


class Mode(StrEnum):
    """What mendloop spends its time on. WORKING: a run, a server start, a decision; WATCHING: a
    canary that needs requests; FREE: nothing, or something that needs event time to pass."""

    WORKING = "working"
    WATCHING = "watching"
    FREE = "free"


class Story:
    """The journal's events so far, folded into what the demo has to know."""

    def __init__(self) -> None:
        self.split: dict[str, int] = {}
        """Percent by version, as the last shift left it; empty before the first."""
        self.events: list[Event] = []
        self.is_attended = False
        """Whether the newest controller has looked at the target, and not only taken its lease."""
        self.looked_until = ""
        """Event time up to which mendloop has checked what arrived; empty before the first look."""
        self.questions: list[str] = []
        """Requests for approval that nobody has answered, oldest first."""
        self._doing: dict[str, str] = {}
        """Open incident -> the tool in hand, ``deciding``, or ``waiting``."""
        self._model_incidents: set[str] = set()

    def take(self, events: Iterable[Event]) -> None:
        """Fold further events in, in the journal's order."""
        for event in events:
            self.events.append(event)
            self._fold(event)

    @property
    def mode(self) -> Mode:
        """The most urgent of the modes of the open incidents."""
        doing = set(self._doing.values())
        if "deciding" in doing or doing & _WALL_CLOCK_TOOLS:
            return Mode.WORKING
        return Mode.WATCHING if doing & _CANARY_TOOLS else Mode.FREE

    @property
    def has_model_incident(self) -> bool:
        """Whether mendloop has something in hand that concerns the model or its release."""
        return any(incident in self._doing for incident in self._model_incidents)

    def is_judging_at_least(self, percent: int) -> bool:
        """Whether a canary with this share or more, but not everything, is being judged."""
        shares = sorted(self.split.values())
        in_between = len(shares) > 1 and shares[0] > 0 and min(shares) >= percent
        return in_between and "judge_canary" in self._doing.values()

    def _fold(self, event: Event) -> None:
        if event.kind == kinds.CONTROLLER_STARTED:
            self.is_attended = False
        elif event.target and event.kind not in NOT_YET_LOOKING:
            self.is_attended = True
        match event.kind:
            case kinds.WINDOW_OBSERVED:
                self.looked_until = max(self.looked_until, event.payload["end"])
            case kinds.INCIDENT_OPENED | kinds.DIAGNOSIS_MADE | kinds.PLAN_MADE:
                self._doing[event.incident] = "deciding"
                if event.payload.get("concern") == "model":
                    self._model_incidents.add(event.incident)
            case kinds.STEP_INTENDED:
                self._doing[event.incident] = event.payload["tool"]
            case kinds.STEP_VERIFIED if event.payload["verdict"] != "unknown":
                self._doing[event.incident] = "deciding"
            case kinds.INCIDENT_WAITING if self._doing.get(event.incident) == "deciding":
                self._doing[event.incident] = "waiting"
            case kinds.INCIDENT_RESOLVED | kinds.INCIDENT_ESCALATED:
                self._doing.pop(event.incident, None)
            case kinds.APPROVAL_REQUESTED:
                self.questions.append(event.payload["approval"])
            case kind if kind in _ANSWERS and event.payload["approval"] in self.questions:
                self.questions.remove(event.payload["approval"])
            case kinds.TRAFFIC_SHIFTED:
                self.split = dict(event.payload["after"])


class JournalFollower:
    """Reads a journal that others write, from where it stopped reading."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._journal: SqliteJournal | None = None
        self._after = 0
        self._patient_until_s = time.monotonic() + _CONTROLLER_START_S

    def new_events(self) -> list[Event]:
        """What was written since the last call; nothing while there is no journal yet."""
        if self._journal is None and not self._open():
            return []
        assert self._journal is not None
        events = self._journal.events(after=self._after)
        if events:
            self._after = events[-1].seq
        return events

    def _open(self) -> bool:
        """False while its writer is still making the file, for a limited time."""
        try:
            self._journal = SqliteJournal.open_read_only(self._path)
        except (Invalid, Unavailable):
            if time.monotonic() > self._patient_until_s:
                raise
            return False
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._journal is not None:
            self._journal.close()
