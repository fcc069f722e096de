"""What a report shows of a run: truth, evidence, actions, traffic and harm, moment by moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.narrative import tell
from orchestrator.journal.payloads import GuardJudged
from policies.ruling import Decision
from simulations.harm import harm_rate
from simulations.records import START
from tools.values import Value

if TYPE_CHECKING:
    from simulations.fleet import FleetWorld
    from simulations.site import Moment, Site

MOST_POINTS = 600
"""Moments per target that a report keeps; neighbours are merged."""
MOST_TEXT = 500
SHOWN = (
    kinds.INCIDENT_OPENED,
    kinds.DIAGNOSIS_MADE,
    kinds.PLAN_MADE,
    kinds.PLAN_FAILED,
    kinds.GUARD_JUDGED,
    kinds.APPROVAL_REQUESTED,
    kinds.APPROVAL_GIVEN,
    kinds.APPROVAL_REJECTED,
    kinds.EVIDENCE_JUDGED,
    kinds.STEP_OUTCOME,
    kinds.TRAFFIC_SHIFTED,
    kinds.INCIDENT_WAITING,
    kinds.INCIDENT_RESOLVED,
    kinds.INCIDENT_ESCALATED,
    kinds.CONTROLLER_STARTED,
)


class Point(Value):
    """Users of one target between two moments."""

    at_s: float
    harm: float
    """Per request."""
    excess: float
    errors: float
    slow: float
    requests: int
    split: dict[str, float]


class Line(Value):
    """Something that happened."""

    at_s: float
    target: str
    lane: str
    """truth, evidence or action."""
    text: str


class Timeline(Value):
    """One run, small enough to send between processes and to put into a page."""

    duration_s: float
    points: dict[str, tuple[Point, ...]]
    """By target."""
    lines: tuple[Line, ...]


def timeline_of(world: FleetWorld) -> Timeline:
    """The run so far."""
    lines = [*_truth(world), *_evidence(world), *_actions(world)]
    return Timeline(
        duration_s=world.now_s,
        points={site.name: _points(site, world) for site in world.sites},
        lines=tuple(sorted(lines, key=lambda line: line.at_s)),
    )


def _truth(world: FleetWorld) -> list[Line]:
    return [
        Line(at_s=at_s, target=target, lane="truth", text=text)
        for at_s, target, text in world.schedule.told
        if at_s <= world.now_s
    ]


def _evidence(world: FleetWorld) -> list[Line]:
    names = {site.target: site.name for site in world.sites}
    return [
        Line(
            at_s=_seconds(event.at),
            target=names.get(event.target, ""),
            lane="evidence",
            text=_told(event),
        )
        for event in world.journal.events(kinds=SHOWN)
        if not _is_plain_yes(event)
    ]


def _actions(world: FleetWorld) -> list[Line]:
    return [
        Line(at_s=deed.at_s, target=site.name, lane="action", text=f"{deed.act}: {deed.what}")
        for site in world.sites
        for deed in site.deeds
    ]


def _points(site: Site, world: FleetWorld) -> tuple[Point, ...]:
    if not site.moments:
        return ()
    edges = np.linspace(0, len(site.moments), min(len(site.moments), MOST_POINTS) + 1).astype(int)
    groups = [
        site.moments[a:b] for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    return tuple(_merged(site, world, group) for group in groups if group)


def _merged(site: Site, world: FleetWorld, group: Sequence[Moment]) -> Point:
    lasted = np.array([moment.until_s - moment.from_s for moment in group])
    weights = lasted / lasted.sum()

    def mean(values: list[float]) -> float:
        return round(float(np.dot(values, weights)), 5)

    return Point(
        at_s=group[0].from_s,
        harm=mean([harm_rate(site, moment, world.scenario) for moment in group]),
        excess=mean([moment.excess for moment in group]),
        errors=mean([moment.errors for moment in group]),
        slow=mean([moment.slow for moment in group]),
        requests=sum(moment.requests for moment in group),
        split={version: float(share) for version, share in group[-1].split.items()},
    )


def _is_plain_yes(event: Event) -> bool:
    """Guardrails that let a step pass say nothing that the step itself does not."""
    if event.kind != kinds.GUARD_JUDGED:
        return False
    return event.read(GuardJudged).ruling.decision is Decision.ALLOW


def _told(event: Event) -> str:
    told = tell(event)
    return ": ".join((told.what, *told.why))[:MOST_TEXT]


def _seconds(moment: str) -> float:
    return (datetime.fromisoformat(moment).replace(tzinfo=None) - START).total_seconds()
