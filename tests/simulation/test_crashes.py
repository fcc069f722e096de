"""The controller is killed at every step boundary; the next one finishes, and no promise breaks.

By default a sample of the points with a fixed seed; ``MENDLOOP_EVERY_CRASH=1`` kills at all of
them, ``MENDLOOP_CRASH_AT=<scenario>/<point>`` at one.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from stage import Stage, acted, closed, quick_world

from orchestrator.approvals import APPROVAL_KINDS, answer, fold_approvals
from orchestrator.controller import Controller
from orchestrator.journal import kinds
from simulations.crashes import Killed, Point, Trigger
from simulations.faults import Fault, no_fault
from simulations.population import CHANGED
from simulations.rehearsal import incidents_of
from simulations.releases import Release
from simulations.world import World

EVERY = os.environ.get("MENDLOOP_EVERY_CRASH") == "1"
ONLY = os.environ.get("MENDLOOP_CRASH_AT", "")
MOST_TICKS = 60
COPIES: dict[str, object] = {"percent": 50, "for": "30s", "deadline": "10m"}


@dataclass(frozen=True)
class Scenario:
    """Something that happens to a world, and how many of its points a default run kills at."""

    name: str
    begin: Callable[[World], None]
    sample: int
    probation: str = "6h"
    delay: str = "1h"
    """Until labels are known; longer than a canary where the probation is to find something."""
    hours: int = 2
    """Event time per tick."""
    kills_from: Callable[[World], bool] = lambda world: True
    """From when on it may be killed: other scenarios cover what comes before."""
    meanwhile: Callable[[World], None] = lambda world: None
    autonomy: str = "auto"
    shadow: dict[str, object] | None = None
    """A rollout that begins with copies of requests."""


def good_release(world: World) -> None:
    world.submit_challenger(Release())


def bad_release(world: World) -> None:
    world.submit_challenger(Release(error_rate=0.2, slow_rate=0.1))


def worse_release(world: World) -> None:
    world.submit_challenger(Release(model=CHANGED))


def say_yes(world: World) -> None:
    """A person allows whatever waits."""
    for asked in fold_approvals(world.journal.events(kinds=APPROVAL_KINDS)):
        if asked.status == "pending" and not closed(world):
            answer(world.journal, world.clock, asked.approval, by="kim", approve=True)


def thaw_later(world: World) -> None:
    if acted(world, "fall_back_to_trusted_data"):
        world.thaw()


SCENARIOS = {
    s.name: s
    for s in (
        Scenario("release", good_release, sample=16),
        Scenario("bad-release", bad_release, sample=10),
        Scenario(
            "switch-back",
            worse_release,
            sample=8,
            probation="5d",
            delay="60h",
            hours=6,
            kills_from=lambda world: acted(world, "promote"),
        ),
        Scenario("frozen-feed", World.freeze, sample=12, hours=6, meanwhile=thaw_later),
        Scenario("approved-release", good_release, sample=8, meanwhile=say_yes, autonomy="approve"),
        Scenario("shadow", good_release, sample=4, shadow=COPIES),
        Scenario("bad-shadow", bad_release, sample=3, shadow=COPIES),
        Scenario("drift", lambda world: world.become(CHANGED), sample=4, hours=6),
    )
}


@dataclass(frozen=True)
class Ending:
    """What must be the same however often the controller died."""

    incidents: tuple[tuple[str, str, str], ...]
    aliases: tuple[tuple[str, str], ...]
    servers: tuple[str, ...]
    shares: tuple[tuple[str, int], ...]
    refused: tuple[str, ...]


class Run:
    """One run of a scenario; a controller that is killed is followed by another."""

    def __init__(self, scenario: Scenario, folder: Path, point: Point | None) -> None:
        self.world = quick_world(
            folder,
            rollout={"probation": scenario.probation, "shadow": scenario.shadow},
            guardrails={"autonomy": scenario.autonomy},
            label={"delay": scenario.delay},
        )
        self.stage = Stage(self.world)
        self.trigger = Trigger(point)
        self._scenario = scenario
        self._is_armed = False
        self._fault: Fault = no_fault
        self._controller: Controller | None = None

    def play(self) -> list[Point]:
        """To the end and a little longer; the points that were passed until the end."""
        for _ in range(2):
            self.tick(hours=6)
        self._scenario.begin(self.world)
        for _ in range(MOST_TICKS):
            if not self._is_armed and self._scenario.kills_from(self.world):
                self._is_armed, self._fault, self._controller = True, self.trigger, None
            self.tick()
            if closed(self.world) and self._controller is not None:
                break
        points = self.trigger.points()
        for _ in range(3):  # what is left must stay as it is, whoever dies now
            self.tick()
        self.world.ledger.check_end()
        return points

    def used_twice(self) -> list[str]:
        """Approvals that more than one act rested on."""
        used = Counter(
            e.payload["approval"] for e in self.world.journal.events(kinds=[kinds.APPROVAL_USED])
        )
        return [name for name, times in used.items() if times > 1]

    def tick(self, *, hours: int = 0) -> None:
        self._scenario.meanwhile(self.world)
        self.world.step(hours=hours or self._scenario.hours)
        try:
            if self._controller is None:
                self._controller = self.stage.controller(self._fault)
            self._controller.tick()
        except Killed:
            assert self.trigger.is_dead
        if self.trigger.is_dead and self._fault is self.trigger:
            self._fault, self._controller = no_fault, None

    def ending(self) -> Ending:
        standing = self.world.standing()
        return Ending(
            incidents=tuple((i.goal, i.status, i.outcome) for i in incidents_of(self.world)),
            aliases=tuple(sorted(standing.aliases.items())),
            servers=tuple(sorted(standing.servers)),
            shares=tuple(standing.shares.items()),
            refused=self._refused(),
        )

    def wrong(self, expected: Ending) -> list[str]:
        """What is wrong with the run; empty when every promise held."""
        found = list(dict.fromkeys(self.world.ledger.broken)) + self.stage.defects
        if not self.trigger.is_dead:
            found.append("the point was never reached")
        if twice := self.used_twice():
            found.append(f"approvals used twice: {twice}")
        if self.ending() != expected:
            found.append(f"ended as {self.ending()}, expected {expected}")
        if self.world.users.failed.get("", 0):
            found.append(f"{self.world.users.failed['']} requests met no server")
        if self.stage.threads():
            found.append(f"{self.stage.threads()} threads are left in the checkpoints")
        return found

    def _refused(self) -> tuple[str, ...]:
        saved = self.world.journal.last("memory.saved", target=self.world.target)
        return tuple(saved.payload["memory"]["refused"]) if saved else ()


def chosen(points: list[Point], sample: int) -> list[Point]:
    """All of them on demand; otherwise every change of the platform and a fixed sample of the rest.

    Few of the reads: whoever dies between two writes dies in the same state.
    """
    if EVERY or len(points) <= sample:
        return points
    rng = random.Random(2013)
    of_records = ("journal.", "checkpoint.")
    changes = [p for p in points if p.is_write and not p.call.startswith(of_records)]
    records = [p for p in points if p.is_write and p.call.startswith(of_records)]
    reads = [p for p in points if not p.is_write]
    changes = changes if len(changes) <= sample else rng.sample(changes, sample)
    rest = sample - len(changes)
    return changes + rng.sample(records, rest - rest // 5) + rng.sample(reads, rest // 5)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_controller_killed_anywhere_is_taken_over_without_a_trace(name: str) -> None:
    """No effect twice, none forgotten, no weight that nobody watches, and the same end."""
    scenario = SCENARIOS[name]
    wanted, _, at = ONLY.partition("/")
    if ONLY and wanted != name:
        pytest.skip(f"MENDLOOP_CRASH_AT asks for {ONLY}")
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = Run(scenario, Path(folder), None)
        points = undisturbed.play()
        expected = undisturbed.ending()
    assert undisturbed.world.ledger.broken == []
    failures = {}
    picked = [Point.parse(at)] if ONLY else chosen(points, scenario.sample)
    for point in picked:
        with tempfile.TemporaryDirectory() as folder:
            run = Run(scenario, Path(folder), point)
            run.play()
            if wrong := run.wrong(expected):
                failures[str(point)] = wrong
    told = "\n".join(
        f"{point}: {'; '.join(wrong)[:900]}\n  replay: MENDLOOP_CRASH_AT={name}/{point} "
        f"pytest tests/simulation/test_crashes.py"
        for point, wrong in failures.items()
    )
    assert not failures, f"{len(failures)} of {len(picked)} kills broke a promise:\n{told}"
