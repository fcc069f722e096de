"""Every write of a remediation fails once, before or after its effect; it ends as if it had not."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from stage import Stage, closed, quick_world

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
        if not (call == "journal.append" and when == "after")  # its answer is its commit
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
