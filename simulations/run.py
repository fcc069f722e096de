"""Runs one scenario with one operator, from its start to its end, and scores it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from simulations.faults import Fault, no_fault
from simulations.fleet import FleetWorld
from simulations.mendloop_operator import MendloopOperator
from simulations.operator import MakeWorldOperator, Operator
from simulations.scenario import Scenario
from simulations.score import Score, score
from simulations.timeline import Timeline, timeline_of

PATIENCE = 3.0
"""By how much the wait for the next look grows while nothing moves."""


@dataclass(frozen=True)
class ScenarioRun:
    """What came of it."""

    score: Score
    timeline: Timeline
    simulated_s: float
    wall_s: float


def run_scenario(
    scenario: Scenario,
    seed: int = 0,
    policy_of_operation: MakeWorldOperator = MendloopOperator,
    *,
    name: str = "mendloop",
    fault: Fault = no_fault,
) -> ScenarioRun:
    """Play it through. ``fault`` meets every call of the operator, ``name`` stands in the score."""
    begun = time.monotonic()
    with TemporaryDirectory(prefix="mendloop-rehearsal-") as folder:
        world = FleetWorld(scenario, Path(folder), seed=seed, fault=fault)
        operator = policy_of_operation()
        for site in world.sites:
            site.ledger.is_announced = operator.is_announced
        operator.start(world)
        _play(world, operator)
        operator.stop()
        claims = operator.claims()
        found = score(world, claims, name, world.now_s)
        told = timeline_of(world)
    return ScenarioRun(found, told, world.now_s, time.monotonic() - begun)


def _play(world: FleetWorld, operator: Operator) -> None:
    spec = world.scenario.spec.world
    shortest_s, longest_s = spec.tick.shortest.total_seconds(), spec.tick.longest.total_seconds()
    end_s, wait_s = spec.duration.total_seconds(), longest_s
    while world.now_s < end_s:
        world.advance(min(wait_s, end_s - world.now_s))
        moved = False
        for _ in range(world.wakings):
            moved = operator.tick() or moved
        wait_s = shortest_s if moved else min(PATIENCE * wait_s, longest_s)
