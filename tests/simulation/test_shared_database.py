"""The controller over PostgreSQL: the database goes in the middle, a controller dies beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from stage import acted, closed, quick_world

from orchestrator.checkpointer import postgres_checkpointer
from orchestrator.controller import Controller
from orchestrator.journal import kinds
from orchestrator.journal.postgres import PostgresJournal
from orchestrator.resources.standing import Standing, status_of
from simulations.rehearsal import controller_of, incidents_of, run_until
from simulations.releases import Release
from simulations.world import LEASE_S, World
from tests.stand_in.postgres import QUICK, Postgres, running_postgres
from tools.managed_model_status import Phase
from tools.postgres import Database
from tools.workloads import ServerPhase


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """One that may be stopped."""
    with running_postgres(**QUICK) as own:
        yield own


@pytest.fixture
def url(server: Postgres) -> Iterator[str]:
    name = server.make_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def world(tmp_path: Path, url: str) -> World:
    return quick_world(tmp_path, journal=PostgresJournal(Database(url)))


def controller(
    world: World, url: str, holder: str, *, tell: Callable[[Standing], None] | None = None
) -> Controller:
    """With connections of its own, as another process would have."""
    world_journal, world.journal = world.journal, PostgresJournal(Database(url))
    try:
        return controller_of(world, postgres_checkpointer(Database(url)), holder=holder, tell=tell)
    finally:
        world.journal = world_journal


def end_for_good(world: World, version: str) -> None:
    """Past every restart that the servers do by themselves."""
    with world.own():
        while world.workloads.read(world.target, version).phase is not ServerPhase.FAILED:
            world.workloads.crash(world.target, version)
            world.clock.advance(timedelta(seconds=10))


def whole(world: World) -> None:
    """The promises at the end."""
    world.ledger.check_end()
    assert world.ledger.broken == []
    assert world.journal.verify().ok


@pytest.mark.parametrize("release", [Release(), Release(error_rate=0.2)], ids=["good", "bad"])
def test_the_database_goes_in_the_middle_of_a_canary_and_comes_back(
    server: Postgres, world: World, url: str, release: Release
) -> None:
    """Nothing is changed that could not be recorded, it is said once, and it goes on by itself."""
    at_work = controller(world, url, "only")
    run_until(world, at_work, lambda _: True, ticks=1)
    for _ in range(6):
        world.step()
        at_work.tick()
    world.submit_challenger(release)
    run_until(world, at_work, lambda w: acted(w, "start_canary"), ticks=60)
    before = world.standing()
    server.stop()
    try:
        with structlog.testing.capture_logs() as said:
            for _ in range(3):
                at_work.tick()
    finally:
        server.start()

    assert [line["event"] for line in said] == ["journal.unavailable"]
    assert "does not answer" in said[0]["reason"]
    after = world.standing()
    assert (before.shares, before.aliases, before.servers) == (
        after.shares,
        after.aliases,
        after.servers,
    )
    run_until(world, at_work, lambda w: bool(closed(w)), ticks=60)
    assert [i.outcome for i in closed(world)] == [
        "undone" if release.error_rate > 0.1 else "promoted"
    ]
    whole(world)


def test_while_the_database_is_gone_it_looks_on_and_catches_up_afterwards(
    server: Postgres, world: World, url: str
) -> None:
    """A champion that fails meanwhile is seen and told at once, and repaired once that can be
    recorded: by one incident, each effect once."""
    told: list[Standing] = []
    at_work = controller(world, url, "only", tell=told.append)
    for _ in range(3):
        world.step()
        at_work.tick()
    server.stop()
    try:
        effects = len(world.ledger.effects)
        at_work.tick()
        quiet = told[-1]
        end_for_good(world, "1")
        for _ in range(3):
            world.step(hours=0)
            at_work.tick()
        assert len(world.ledger.effects) == effects
    finally:
        server.start()
    seen = told[-1]
    status = status_of(seen, None, generation=1, now=world.clock.now())

    assert quiet.facts["service"] != "down"
    assert (seen.facts["service"], seen.is_ready) == ("down", False)
    assert "does not answer" in seen.held_up
    assert (status.phase, "journal unavailable" in status.message) == (Phase.DEGRADED, True)

    run_until(world, at_work, lambda w: bool(closed(w)), ticks=60)
    assert told[-1].held_up == ""
    assert [i.outcome for i in closed(world)] == ["restarted"]
    restarts = [a for i in incidents_of(world) for a in i.actions if a.tool == "restart_serving"]
    assert len(restarts) == 1
    assert world.journal.verify().ok


def test_another_controller_takes_over_from_one_that_died_beside_it(world: World, url: str) -> None:
    """Its incident, its thread and its memory are in the database; no effect happens twice."""
    first = controller(world, url, "first")
    for _ in range(6):
        world.step()
        first.tick()
    second = controller(world, url, "second")
    world.submit_challenger(Release())
    for _ in range(60):
        world.step()
        for each in (first, second):
            each.tick()
        if acted(world, "start_canary"):
            break
    owner = owners(world)[-1]
    left = second if owner == "first" else first
    world.clock.advance(timedelta(seconds=LEASE_S + 1))  # the owner is never asked again
    run_until(world, left, lambda w: bool(closed(w)), ticks=60)

    assert owners(world)[-1] != owner
    assert len(incidents_of(world)) == 1
    intended = [e.payload["key"] for e in world.journal.events(kinds=[kinds.STEP_INTENDED])]
    applied = [
        e.payload["key"]
        for e in world.journal.events(kinds=[kinds.STEP_OUTCOME])
        if e.payload["result"] == "applied"
    ]
    assert len(applied) == len(set(applied))
    assert set(applied) <= set(intended)
    whole(world)


def owners(world: World) -> list[Any]:
    """Who held the target's lease, in order."""
    return [e.payload["holder"] for e in world.journal.events(kinds=[kinds.LEASE_ACQUIRED])]
