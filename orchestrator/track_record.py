"""What was done to every target so far, folded from the journal and read on at each question.

Budgets, cool-downs and the blast radius ask it. An intent counts as the act: after a crash nobody
knows better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agents.contract import Contract, Tool
from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.journal import Journal
from orchestrator.journal.payloads import StepIntended, StepOutcome
from orchestrator.ladder import LadderBook, Standing
from orchestrator.tally import Tally

RETRAINING = ("retrain_recent", "retrain_full")
"""Tools that count as one kind for budgets and cool-downs."""
RAISING = ("start_canary", "advance_canary")
SETTLING = ("roll_back", "promote", "switch_back")
"""Tools after which all traffic is with one version."""
REVERSING = ("roll_back", "switch_back")
_READ = (
    kinds.STEP_INTENDED,
    kinds.STEP_OUTCOME,
    *LadderBook.KINDS,
)


@dataclass
class TargetRecord:
    """What was done to one target."""

    by_event_time: Tally = field(default_factory=Tally)
    reversals: Tally = field(default_factory=Tally)
    begun: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Kind of step -> (incident, event time) of each."""
    outstanding: set[str] = field(default_factory=set)
    """Tools that would take back something that mendloop did and nobody has taken back."""
    share: int = 0
    """Percent that a candidate was given and that is not settled yet."""
    sharing: str = ""
    """The incident that gave it."""


class TrackRecord:
    """Every target's record, as far as the journal has come."""

    def __init__(self, journal: Journal, tools: Mapping[str, Tool]) -> None:
        self._journal = journal
        self._contracts = {name: tool.contract for name, tool in tools.items()}
        self._read = 0
        self._targets: dict[str, TargetRecord] = defaultdict(TargetRecord)
        self.fleet = Tally()
        """Steps of all targets, by the wall clock."""
        self.ladder = LadderBook()

    def of(self, target: str) -> TargetRecord:
        """The target's record. Raises Unavailable when the journal cannot be read."""
        self.read_on()
        return self._targets[target]

    def standing(self, target: str) -> Standing:
        """Where the target stands on the ladder of autonomy."""
        self.read_on()
        return self.ladder.standing(target)

    def changing(self, *, besides: str) -> list[str]:
        """Other targets whose traffic is under way between versions."""
        self.read_on()
        return sorted(t for t, r in self._targets.items() if r.share and t != besides)

    def read_on(self) -> None:
        """Take in what the journal added since the last question."""
        newest = self._journal.head().seq
        if newest == self._read:
            return
        self._take(self._journal.events(kinds=_READ, after=self._read, until=newest))
        self._read = newest

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            match event.kind:
                case kinds.STEP_INTENDED:
                    self._begin(event, event.read(StepIntended))
                case kinds.STEP_OUTCOME:
                    self._end(event, event.read(StepOutcome))
                case kinds.INCIDENT_RESOLVED | kinds.INCIDENT_ESCALATED:
                    self._close(event)
            self.ladder.take(event)

    def _begin(self, event: Event, step: StepIntended) -> None:
        record, contract = self._targets[event.target], self._contracts.get(step.tool)
        record.begun[kind_of(step.tool)].append((event.incident, step.event_time))
        if step.tool in RAISING:
            record.share, record.sharing = int(step.arguments.get("percent", 0)), event.incident
        if contract is None:
            return
        if contract.undo in self._contracts:
            record.outstanding.add(contract.undo)
        if not contract.is_safe_return:
            amounts = _amounts(step, contract)
            self.fleet.add(datetime.fromisoformat(event.at), amounts)
            if step.event_time:
                record.by_event_time.add(event_time_of(step.event_time), amounts)
        if step.tool in REVERSING and step.event_time:
            record.reversals.add(event_time_of(step.event_time), {})

    def _end(self, event: Event, outcome: StepOutcome) -> None:
        record = self._targets[event.target]
        if outcome.result not in ("applied", "already"):
            if outcome.tool == "start_canary":
                record.share, record.sharing = 0, ""
            return
        record.outstanding.discard(outcome.tool)
        if outcome.tool in SETTLING:
            record.share, record.sharing = 0, ""

    def _close(self, event: Event) -> None:
        """What an incident left standing is in a person's hands."""
        record = self._targets[event.target]
        if record.sharing == event.incident:
            record.share, record.sharing = 0, ""


def kind_of(tool: str) -> str:
    """Retrainings are one kind, whatever they train on."""
    return "retrain" if tool in RETRAINING else tool


def event_time_of(text: str) -> datetime:
    """Event time is naive in the prediction log and taken as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _amounts(step: StepIntended, contract: Contract) -> dict[str, float]:
    return {
        "retrains": float(step.tool in RETRAINING),
        "changes": float(contract.changes_production),
        "minutes": step.minutes,
        "money": step.money,
    }
