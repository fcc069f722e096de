"""Every write of a remediation fails once, before or after its effect; it ends as if it had not."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from stage import Stage, closed, quick_world

from orchestrator.journal import kinds
from simulations.rehearsal import incidents_of, run_until
from simulations.releases import Release
from simulations.world import World
from tools.errors import Conflict, MendloopError, Unavailable, Uncertain

EVERY = os.environ.get("MENDLOOP_EVERY_CRASH") == "1"
FAILING = (
    "traffic.patch",
    "workloads.start",
    "workloads.stop",
    "registry.set_alias",
    "registry.delete_alias",
    "journal.append",
)
READS = ("traffic.read", "registry.by_alias", "workloads.servers", "metrics.read", "registry.fetch")


@dataclass
class FailsOnce:
    """A fault that raises ``error`` at one occurrence of one call, and counts all of them."""

    call: str = ""
    number: int = 0
    error: type[MendloopError] = Unavailable
    counts: Counter[str] = field(default_factory=Counter)

    def __call__(self, call: str) -> None:
        self.counts[call] += 1
        if call == self.call and self.counts[call] == self.number:
            raise self.error(f"simulated: {call} number {self.number}")


def play(folder: Path, release: Release, fault: FailsOnce) -> tuple[World, list[str]]:
    """A release to its end with one failure; what is wrong with it."""
    world = quick_world(folder)
    stage = Stage(world)
    controller = stage.controller(lambda call: None)
    for _ in range(2):
        world.step(hours=6)
        controller.tick()
    world.submit_challenger(release)
    world.fault = fault
    try:
        run_until(world, controller, lambda w: bool(closed(w)), ticks=60, hours=2)
    except AssertionError as error:
        return world, [str(error)]
    for _ in range(2):
        world.step(hours=2)
        controller.tick()
    world.ledger.check_end()
    return world, list(dict.fromkeys(world.ledger.broken)) + stage.defects


def ending(world: World) -> object:
    standing = world.standing()
    told = [(i.goal, i.status, i.outcome) for i in incidents_of(world)]
    return told, dict(standing.aliases), sorted(standing.servers), dict(standing.shares)


@pytest.mark.parametrize(
    "release", [Release(), Release(error_rate=0.2)], ids=["good-release", "bad-release"]
)
def test_one_failure_of_any_write_changes_nothing_about_the_end(release: Release) -> None:
    """Unavailable before it, Uncertain after it, a conflict on the route: the same end."""
    with TemporaryDirectory() as folder:
        counted = FailsOnce()
        world, wrong = play(Path(folder), release, counted)
        expected = ending(world)
    assert wrong == []
    cases = [
        FailsOnce(f"{call}:{when}", number, error)
        for call in FAILING
        for when, error in (("before", Unavailable), ("after", Uncertain))
        for number in range(1, counted.counts[f"{call}:{when}"] + 1)
        if not (call == "journal.append" and when == "after")  # see LosesAnswers
    ]
    cases += [
        FailsOnce("traffic.patch:before", number, Conflict)
        for number in range(1, counted.counts["traffic.patch:before"] + 1)
    ]
    cases += [
        FailsOnce(f"{call}:before", number, Unavailable)
        for call in READS
        for number in range(1, counted.counts[f"{call}:before"] + 1, 7)
    ]
    picked = cases if EVERY else random.Random(7).sample(cases, min(len(cases), 10))
    failures = []
    for case in picked:
        with TemporaryDirectory() as folder:
            world, wrong = play(Path(folder), release, case)
            if ending(world) != expected:
                wrong.append(f"ended as {ending(world)}, expected {expected}")
            if wrong:
                failures.append(f"{case.call}#{case.number} {case.error.__name__}: {wrong}")
    assert not failures, f"{len(failures)} of {len(picked)}:\n" + "\n".join(failures)


@dataclass
class LosesAnswers:
    """A fault that lets appends of one kind of event through and then says that they failed, once
    for each step or window, as where a commit's answer is lost and the database is gone."""

    kind: str
    told: set[str] = field(default_factory=set)

    def meet(self, world: World) -> None:
        def fault(call: str) -> None:
            if call != "journal.append:after":
                return
            found = {about(event.payload) for event in world.journal.events(kinds=[self.kind])}
            new, self.told = found - self.told, self.told | found
            if new:
                raise Unavailable("simulated: the answer to the commit was lost")

        world.fault = fault


def about(payload: Mapping[str, Any]) -> str:
    """Which step or window."""
    return str(payload.get("key") or json.dumps(payload, sort_keys=True))


@pytest.mark.parametrize(
    "kind", [kinds.STEP_INTENDED, kinds.STEP_OUTCOME, kinds.STEP_VERIFIED, kinds.WINDOW_OBSERVED]
)
def test_what_was_written_unanswered_counts(tmp_path: Path, kind: str) -> None:
    """What the journal has is what happened, memory included: nothing goes on from an older one."""
    world = quick_world(tmp_path)
    stage = Stage(world)
    controller = stage.controller(lambda call: None)
    LosesAnswers(kind).meet(world)
    for _ in range(2):
        world.step(hours=6)
        controller.tick()
    world.submit_challenger(Release(error_rate=0.2))
    run_until(world, controller, lambda w: bool(closed(w)), ticks=60, hours=2)
    written = [about(event.payload) for event in world.journal.events(kinds=[kind])]

    assert [i.outcome for i in closed(world)] == ["undone"]
    assert dict(world.standing().aliases) == {"champion": "1"}
    assert sorted(world.standing().servers) == ["1"]
    assert kind == kinds.STEP_VERIFIED or len(written) == len(set(written))
    world.ledger.check_end()
    assert world.ledger.broken == []
    assert stage.defects == []
