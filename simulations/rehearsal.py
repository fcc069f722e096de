"""Puts the real controller to work in a simulated world, tick by tick."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from agents.catalog import all_tools
from orchestrator.controller import Controller, Target
from orchestrator.journal.incidents import IncidentSummary, fold_incidents
from orchestrator.kill_switch import AnyOf, KillSwitch, StopFiles, Switchboard
from orchestrator.model_changes import Departures
from orchestrator.model_fleet import FollowedFleet
from orchestrator.policy_files import builtin_policies
from orchestrator.recorder import Recorder
from orchestrator.resources.telling import Tell
from orchestrator.rule_folder import RuleFolder
from orchestrator.rulebook import Rulebook
from orchestrator.session import Session
from orchestrator.track_record import TrackRecord
from policies.engine import PolicySet
from simulations.world import World


@lru_cache(maxsize=1)
def _policies() -> PolicySet:
    return builtin_policies()


def controller_of(
    world: World,
    checkpointer: Any,
    *,
    holder: str = "controller-1",
    policies: PolicySet | None = None,
    tell: Tell | None = None,
    fleet: FollowedFleet | None = None,
) -> Controller:
    """A controller over the world; a second one takes the first one's place once its lease is
    over. ``checkpointer`` is LangGraph's; ``policies`` stand in for the built-in ones. A folder
    ``policies`` of the world is followed, like that of a home. With a ``fleet`` its models are
    kept, otherwise the world's own."""
    folder = world.folder / "policies"
    leaving: list[Switchboard] = [Departures(fleet.is_leaving)] if fleet else []
    switch = KillSwitch(AnyOf(StopFiles(world.kill_switch), *leaving))
    controller = Controller(
        fleet or [Target(model=world.document, desk=world.desk())],
        journal=world.watched_journal(),
        checkpointer=checkpointer,
        leases=world.leases,
        policies=policies or _policies(),
        rules=RuleFolder([folder]) if folder.is_dir() else None,
        tools=all_tools(),
        kill_switch=switch,
        holder=holder,
        clock=world.clock,
        new_id=world.new_incident,
        tell=tell,
    )
    controller.start()
    return controller


def session_of(world: World, *, holder: str = "rehearsal") -> Session:
    """A target in somebody's hands without a controller: for steps taken one by one."""
    lease = world.leases.acquire(world.target, holder)
    if lease is None:
        raise ValueError(f"somebody else holds the lease on {world.target}")
    recorder = Recorder(world.watched_journal(), world.clock, world.target)
    record = TrackRecord(recorder.journal, all_tools())
    session = Session(
        model=world.document,
        desk=world.desk(),
        recorder=recorder,
        tools=all_tools(),
        rulebook=Rulebook.of([world.document], record, policies=_policies()),
        leases=world.leases,
        lease=lease,
        kill_switch=KillSwitch(world.kill_switch),
        memory=recorder.last_memory(),
    )
    session.look()
    return session


def incidents_of(world: World) -> list[IncidentSummary]:
    """Every incident of the world so far, oldest first."""
    return fold_incidents(world.journal.events())


def run_until(
    world: World,
    controller: Controller,
    reached: Callable[[World], bool],
    *,
    ticks: int,
    hours: int = 6,
    seconds: float = 10.0,
) -> int:
    """Tick until ``reached``; how many ticks it took. AssertionError when it never comes."""
    for tick in range(1, ticks + 1):
        world.step(hours=hours, seconds=seconds)
        controller.tick()
        if reached(world):
            return tick
    told = "\n".join(
        f"  {i.status} {i.goal}: {[a.tool for a in i.actions]}" for i in incidents_of(world)
    )
    raise AssertionError(f"not reached within {ticks} ticks; incidents:\n{told}")
