"""What may go wrong around a controller at work: its clock, its disk, its double, its data."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from stage import Stage, acted, closed, quick_world

from orchestrator.controller import Controller
from orchestrator.journal import kinds
from orchestrator.journal.event import Head
from simulations.effects import Standing
from simulations.population import CHANGED
from simulations.rehearsal import incidents_of, run_until
from simulations.releases import Release
from simulations.world import LEASE_S, World
from tools.errors import Unavailable

HOUR = timedelta(hours=1)


def nothing(call: str) -> None:
    """No fault."""


def begin(folder: Path, **spec: dict[str, Any]) -> tuple[World, Stage]:
    world = quick_world(folder, **spec)
    stage = Stage(world)
    return world, stage


def check(world: World, stage: Stage) -> None:
    world.ledger.check_end()
    assert world.ledger.broken == []
    assert stage.defects == []
    assert world.users.failed.get("", 0) == 0


@pytest.mark.parametrize("write", ["traffic.patch", "workloads.start"])
def test_an_owner_that_slept_through_its_lease_changes_nothing_when_it_wakes(
    tmp_path: Path, write: str
) -> None:
    """Paused right before a write, it comes back after another took over: refused, unrecorded."""
    world, stage = begin(tmp_path)
    sleeper = stage.controller(nothing)
    for _ in range(2):
        world.step()
        sleeper.tick()
    world.submit_challenger(Release())
    woken: list[tuple[Standing, Head, Controller]] = []
    slept: list[str] = []

    def sleep(call: str) -> None:
        intended = world.journal.events(kinds=[kinds.STEP_INTENDED])
        if call != f"{write}:before" or slept or not intended:
            return
        slept.append(call)
        world.step(hours=2, seconds=LEASE_S + 1)
        successor = stage.controller(nothing)
        for _ in range(4):
            world.step(hours=2, seconds=LEASE_S * 0.6)
            successor.tick()
        woken.append((world.standing(), world.journal.head(), successor))

    world.fault = sleep
    for _ in range(4):
        if not slept:
            world.step(hours=2)
            sleeper.tick()
    ((standing, head, successor),) = woken

    assert world.standing() == standing
    later = world.journal.events(after=head.seq)
    assert [e.kind for e in later] == []

    run_until(world, successor, lambda w: bool(closed(w)), ticks=40, hours=2, seconds=8)
    assert closed(world)[0].outcome == "promoted"
    check(world, stage)


@pytest.mark.parametrize("jump", [-30 * HOUR, 30 * HOUR], ids=["back", "forth"])
def test_a_jump_of_the_wall_clock_moves_no_deadline(tmp_path: Path, jump: timedelta) -> None:
    """Durations run on the monotonic clock: a canary is neither cut short nor forgotten."""
    world, stage = begin(tmp_path)
    controller = stage.controller(nothing)
    for _ in range(2):
        world.step()
        controller.tick()
    world.submit_challenger(Release())
    run_until(world, controller, lambda w: acted(w, "start_canary"), ticks=10, hours=2)
    world.clock.jump(jump)
    run_until(world, controller, lambda w: bool(closed(w)), ticks=40, hours=2)

    assert closed(world)[0].outcome == "promoted"
    check(world, stage)


def test_nothing_is_changed_while_the_journal_cannot_be_written(tmp_path: Path) -> None:
    """Disk full in the middle of a canary: no record, no act; afterwards it goes on."""
    world, stage = begin(tmp_path)
    controller = stage.controller(nothing)
    for _ in range(2):
        world.step()
        controller.tick()
    world.submit_challenger(Release())
    run_until(world, controller, lambda w: acted(w, "start_canary"), ticks=10, hours=2)

    def disk_full(call: str) -> None:
        if call == "journal.append:before":
            raise Unavailable("the disk is full")

    standing, world.fault = world.standing(), disk_full
    for _ in range(5):
        world.step(hours=2)
        controller.tick()
    assert world.standing() == standing

    world.fault = nothing
    run_until(world, controller, lambda w: bool(closed(w)), ticks=40, hours=2)
    assert closed(world)[0].outcome == "promoted"
    check(world, stage)


def test_a_feed_that_freezes_during_a_canary_is_masked_on_both_versions(tmp_path: Path) -> None:
    """Two concerns, two incidents, one target: neither waits for the other, both end well."""
    world, stage = begin(tmp_path)
    controller = stage.controller(nothing)
    for _ in range(6):
        world.step()
        controller.tick()
    world.submit_challenger(Release())
    run_until(world, controller, lambda w: acted(w, "start_canary"), ticks=10, hours=1)
    world.freeze()
    run_until(world, controller, lambda w: acted(w, "fall_back_to_trusted_data"), ticks=10)
    masked = set(world.standing().masked.values())
    assert masked == {("wind", "rain")}

    world.thaw()
    run_until(world, controller, lambda w: len(closed(w)) == 2, ticks=40)
    outcomes = {i.concern: i.outcome for i in incidents_of(world)}
    assert outcomes == {"data": "recovered", "model": "promoted"}
    assert set(world.standing().masked.values()) == {()}
    check(world, stage)


def test_concept_drift_behind_a_frozen_feed_is_cured_after_the_feed_is(tmp_path: Path) -> None:
    """Nothing is trained while the data is not trusted; afterwards the drift is still found."""
    world, stage = begin(tmp_path)
    controller = stage.controller(nothing)
    for _ in range(6):
        world.step()
        controller.tick()
    world.freeze()
    world.become(CHANGED)
    for _ in range(12):
        world.step()
        controller.tick()
    trained = ("retrain_full", "retrain_recent")
    assert not [a for i in incidents_of(world) for a in i.actions if a.tool in trained]

    world.thaw()
    run_until(world, controller, lambda w: acted(w, "promote"), ticks=60)
    check(world, stage)


def test_a_run_that_hangs_is_cancelled_and_tried_once_more(tmp_path: Path) -> None:
    """Its document's time is over: cancelled, submitted under another key, then a person."""
    world, stage = begin(tmp_path, training={"timeout": "5s"})
    controller = stage.controller(nothing)
    for _ in range(6):
        world.step()
        controller.tick()
    world.become(CHANGED)
    run_until(world, controller, lambda w: bool(closed(w)), ticks=60)
    (incident,) = closed(world)

    assert incident.status == "escalated"
    runs = [a for a in incident.actions if a.tool == "retrain_full"]
    assert [a.verdict for a in runs] == ["broken", "broken"]
    assert len({a.key for a in runs}) == 2
    assert set(world.standing().servers) == {"1"}
    check(world, stage)
