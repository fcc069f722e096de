"""How much a target's record has earned: observe, propose, approve, auto; one rung at a time.

A rung is earned by incidents that were closed well on the one below, and lost at once when
mendloop's own promotion is undone, a step that routes traffic does not hold, or an operator takes
the target over. The journal says which rung is in force, so it outlives every controller.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.payloads import AutonomyChanged
from tools.managed_model import Guardrails, Rung

RUNGS: tuple[Rung, ...] = ("observe", "propose", "approve", "auto")
LEFT_ALONE, GAVE_WAY = "left alone", "gave way"
_ROUTING = ("start_canary", "advance_canary", "roll_back", "promote", "switch_back")


@dataclass
class Standing:
    """What happened on the present rung."""

    rung: Rung | None = None
    """None: nobody has moved it yet."""
    clean: list[tuple[str, str]] = field(default_factory=list)
    """(incident, event time) of those closed well, oldest first."""
    troubles: list[str] = field(default_factory=list)
    """Why it is to go down."""


@dataclass
class _Course:
    """One incident so far."""

    acted: bool = False
    spoiled: bool = False
    """A step was undone, forbidden by a person, or did not hold: nothing is earned with it."""


class LadderBook:
    """Every target's standing, folded from the journal."""

    KINDS = (
        kinds.INCIDENT_RESOLVED,
        kinds.INCIDENT_ESCALATED,
        kinds.STEP_OUTCOME,
        kinds.STEP_VERIFIED,
        kinds.APPROVAL_REJECTED,
        kinds.AUTONOMY_CHANGED,
        kinds.TARGET_TAKEN_OVER,
    )

    def __init__(self) -> None:
        self._standing: dict[str, Standing] = defaultdict(Standing)
        self._courses: dict[str, _Course] = {}

    def standing(self, target: str) -> Standing:
        """What the target has earned since it was last moved."""
        return self._standing[target]

    def take(self, event: Event) -> None:
        """The next event of the journal; kinds that say nothing about autonomy are passed by."""
        if event.kind not in self.KINDS:
            return
        course = self._courses.setdefault(event.incident, _Course())
        match event.kind:
            case kinds.STEP_OUTCOME if event.payload["result"] in ("applied", "already"):
                self._acted(event, course, event.payload["tool"])
            case kinds.STEP_VERIFIED if event.payload["verdict"] == "broken":
                self._broken(event, course, event.payload["tool"])
            case kinds.APPROVAL_REJECTED:
                course.spoiled = True
            case kinds.INCIDENT_RESOLVED | kinds.INCIDENT_ESCALATED:
                self._closed(event, course)
            case kinds.AUTONOMY_CHANGED:
                moved = event.read(AutonomyChanged)
                self._standing[event.target] = Standing(rung=moved.after)
            case kinds.TARGET_TAKEN_OVER:
                course.spoiled = True
                self._trouble(event, "an operator took the target over")

    def _acted(self, event: Event, course: _Course, tool: str) -> None:
        course.acted = True
        course.spoiled |= tool in ("roll_back", "switch_back")
        if tool == "switch_back":
            self._trouble(event, "its own promotion had to be undone")

    def _broken(self, event: Event, course: _Course, tool: str) -> None:
        course.spoiled |= tool in _ROUTING
        if tool in _ROUTING:
            detail = event.payload.get("detail", "")
            self._trouble(event, f"{tool} did not do what it promises: {detail}")

    def _trouble(self, event: Event, reason: str) -> None:
        standing = self._standing[event.target]
        standing.clean.clear()
        said = f"{event.incident}: {reason}" if event.incident else reason
        standing.troubles.append(said)

    def _closed(self, event: Event, course: _Course) -> None:
        """On the lowest rung nothing can be done: having been right to call is enough."""
        self._courses.pop(event.incident, None)
        standing = self._standing[event.target]
        if event.payload.get("outcome") == GAVE_WAY:
            return
        done = (
            course.acted
            and event.kind == kinds.INCIDENT_RESOLVED
            and event.payload["outcome"] != LEFT_ALONE
        )
        if course.spoiled:
            standing.clean.clear()
        elif done or not course.acted:
            standing.clean.append((event.incident, event.payload.get("event_time", "")))


def rung_of(rules: Guardrails, standing: Standing) -> Rung:
    """The rung in force: earned, and never above what the document says."""
    if rules.ladder is None:
        return rules.autonomy
    return lowest(standing.rung or rules.ladder.start, rules.autonomy)


def due_move(rules: Guardrails, standing: Standing, event_time: str) -> AutonomyChanged | None:
    """The move that the record asks for now, if any."""
    ladder, rung = rules.ladder, rung_of(rules, standing)
    if ladder is None:
        return None
    place = RUNGS.index(rung)
    if standing.troubles and place > 0:
        reason = "; ".join(dict.fromkeys(standing.troubles))
        return AutonomyChanged(before=rung, after=RUNGS[place - 1], cause="revoked", reason=reason)
    clean = clean_within(rules, standing, event_time)
    if not ladder.automatic or rung == rules.autonomy or len(clean) < ladder.incidents:
        return None
    reason = f"{len(clean)} incidents in a row were closed well: {', '.join(clean)}"
    return AutonomyChanged(before=rung, after=RUNGS[place + 1], cause="earned", reason=reason)


def clean_within(rules: Guardrails, standing: Standing, event_time: str) -> list[str]:
    """Incidents closed well on this rung that still count."""
    if rules.ladder is None:
        return []
    if not event_time:
        return [incident for incident, _ in standing.clean]
    oldest = _time(event_time) - rules.ladder.within
    return [incident for incident, at in standing.clean if not at or _time(at) >= oldest]


def lowest(one: Rung, other: Rung) -> Rung:
    """The lower of two rungs."""
    return min(one, other, key=RUNGS.index)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
