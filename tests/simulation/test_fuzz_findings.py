"""What the crash fuzzer found, each pinned by the behaviour that was missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stage import Play, Stage, closed, quick_world

from orchestrator.goals import QUALITY_MET
from orchestrator.journal import kinds
from orchestrator.nodes import plan
from simulations.faults import no_fault
from simulations.fuzz.case import FuzzCase
from simulations.fuzz.play import play
from simulations.releases import Release
from simulations.world import LEASE_S, World


def waiting_world(folder: Path) -> tuple[World, Stage]:
    world = quick_world(folder, rollout={"stepsPercent": [100]})
    return world, Stage(world)


def finding(seed: int, spec: dict[str, Any]) -> FuzzCase:
    """The shrunk case of a seed."""
    head = {"apiVersion": "mendloop.dev/v1alpha1", "kind": "FuzzCase"}
    metadata = {"name": f"seed-{seed}"}
    return FuzzCase.model_validate({**head, "metadata": metadata, "spec": spec})


@pytest.mark.parametrize("write", ["registry.set_alias:after", "registry.by_alias:after"])
def test_a_pause_in_the_middle_of_a_step_is_read_before_its_next_write(
    tmp_path: Path, write: str
) -> None:
    """Promoting is three writes: somebody who stops it after the first is heard at once."""
    world, stage = waiting_world(tmp_path)
    controller = stage.controller(no_fault)
    world.step()
    controller.tick()
    world.submit_challenger(Release())
    standing = []

    def pause(call: str) -> None:
        promoting = [
            e
            for e in world.journal.events(kinds=[kinds.STEP_INTENDED])
            if e.payload["tool"] == "promote"
        ]
        if promoting and call == write and not standing:
            world.kill_switch.touch()
            standing.append(world.standing())

    world.fault = pause
    for _ in range(8):
        world.step(hours=2)
        controller.tick()
    assert world.standing().aliases == standing[0].aliases

    world.kill_switch.unlink()
    for _ in range(30):
        world.step(hours=2)
        controller.tick()
    assert [i.outcome for i in closed(world)] == ["promoted"]
    assert dict(world.standing().aliases) == {"champion": "2"}


def test_an_owner_that_lost_its_lease_in_the_middle_of_a_step_makes_no_further_write(
    tmp_path: Path,
) -> None:
    """What left it already may arrive; the second alias is not moved under a lease long gone."""
    world, stage = waiting_world(tmp_path)
    sleeper = stage.controller(no_fault)
    world.step()
    sleeper.tick()
    world.submit_challenger(Release())
    aliases = []

    def sleep(call: str) -> None:
        if call != "registry.set_alias:after" or aliases:
            return
        aliases.append(world.standing().aliases)
        world.step(hours=0, seconds=LEASE_S + 1)
        world.leases.acquire(world.target, "somebody else")

    world.fault = sleep
    for _ in range(4):
        world.step(hours=2)
        sleeper.tick()

    assert aliases
    assert world.standing().aliases == aliases[0]


def test_an_owner_that_was_outrun_while_it_took_over_records_no_lease(tmp_path: Path) -> None:
    """Held up between taking the lease and stamping the route: the newer token stands."""
    world, stage = waiting_world(tmp_path)
    outrun: list[str] = []

    def hold_up(call: str) -> None:
        if call == "traffic.patch:before" and not outrun:
            outrun.append(call)
            world.step(hours=0, seconds=LEASE_S + 1)
            world.leases.acquire(world.target, "somebody else")

    controller = stage.controller(hold_up)
    world.step()
    controller.tick()

    assert outrun
    assert world.journal.events(kinds=[kinds.LEASE_ACQUIRED]) == []


@pytest.mark.parametrize("moment", ["workloads.start:after", "traffic.patch:after"])
def test_a_challenger_that_displaces_another_is_released_and_nothing_is_left_of_the_other(
    tmp_path: Path, moment: str
) -> None:
    """The alias moves while the first is deployed or gets its share: nothing is known against the
    second, and nobody needs the server of the first."""
    world = quick_world(tmp_path)
    stage = Stage(world)
    controller = stage.controller(no_fault)
    world.step()
    controller.tick()
    world.submit_challenger(Release())
    came: list[str] = []

    def displace(call: str) -> None:
        if call == moment and world.journal.events(kinds=[kinds.STEP_INTENDED]) and not came:
            came.append(call)
            with world.own():
                world.foundry.submit_challenger(Release(), key="the newer one")
            world.settle()

    world.fault = displace
    for _ in range(40):
        world.step(hours=2)
        controller.tick()

    assert came
    assert [i.outcome for i in closed(world)] == ["promoted"]
    assert dict(world.standing().aliases) == {"champion": "3"}
    assert set(world.standing().servers) == {"3"}


def test_a_server_that_somebody_else_started_is_left_alone(tmp_path: Path) -> None:
    """mendloop stops only what it started: the first champion's server is not its own."""
    play = Play.begin(tmp_path)
    with play.world.own():
        play.world.foundry.register(Release(), key="by hand")
        play.world.registry.set_alias("parcels", "champion", "2", key="by hand")
    play.world.settle()
    play.world.edit_route({"1": 100})
    play.tick(6)

    assert "1" in play.world.standing().servers


def test_a_challenger_whose_server_never_gets_ready_is_sent_back_at_the_deadline(
    tmp_path: Path,
) -> None:
    """Still loading when its time is over: refused and taken down, not waited for again and again
    by one incident after the other."""
    world = quick_world(tmp_path, guardrails={"coolDown": "0h"})
    stage = Stage(world)
    controller = stage.controller(no_fault)
    world.step()
    controller.tick()
    world.submit_challenger(Release(starts=False))
    for _ in range(30):
        world.step(hours=2)
        controller.tick()

    assert [i.outcome for i in closed(world)] == ["withdrawn"]
    assert dict(world.standing().aliases) == {"champion": "1"}
    assert set(world.standing().servers) == {"1"}


def test_a_release_during_a_probation_waits_until_the_former_champion_is_retired(
    tmp_path: Path,
) -> None:
    """A second promotion would overwrite who the former champion is, and leave its server."""
    world = quick_world(tmp_path, rollout={"stepsPercent": [100], "probation": "12h"})
    stage = Stage(world)
    controller = stage.controller(no_fault)
    world.step()
    controller.tick()
    world.submit_challenger(Release())
    for tick in range(40):
        world.step(hours=3)
        controller.tick()
        if tick == 4:
            assert "former" in world.standing().aliases
            with world.own():
                world.foundry.submit_challenger(Release(), key="the next one")
            world.settle()

    assert {i.status for i in closed(world)} == {"resolved"}
    assert dict(world.standing().aliases) == {"champion": "3"}
    assert set(world.standing().servers) == {"3"}


def test_a_record_that_was_held_up_until_another_owner_took_over_is_refused(tmp_path: Path) -> None:
    """What the next owner remembers is not overwritten by an append that left before it came."""
    world, stage = waiting_world(tmp_path)
    sleeper = stage.controller(no_fault)
    world.step()
    sleeper.tick()
    heads = []

    def hold_up(call: str) -> None:
        if call != "journal.append:before" or heads:
            return
        heads.append(world.journal.head())
        world.step(hours=6, seconds=LEASE_S + 1)
        successor = stage.controller(no_fault)
        successor.tick()
        heads.append(world.journal.head())

    world.step()
    world.fault = hold_up
    sleeper.tick()

    assert len(heads) == 2
    assert heads[0] != heads[1] == world.journal.head()


def test_a_thread_cut_off_before_its_plan_looks_again_where_the_goal_is_reached_by_now(
    tmp_path: Path,
) -> None:
    """What was broken mended itself before the next owner came: an empty plan has no first step."""
    world, stage = waiting_world(tmp_path)
    controller = stage.controller(no_fault)
    world.step()
    controller.tick()
    (session,) = controller._own._sessions.values()

    change = plan(
        {"incident": "inc-1", "goal": QUALITY_MET.name, "cause": "concept_drift"}, session
    )

    assert change["next"] == "observe"
    assert "step" not in change


def test_a_promotion_that_nobody_recorded_is_watched_when_the_next_release_is_there_already() -> (
    None
):
    """Killed between the champion's alias and the rest; the challenger's alias is somebody else's
    by the time the next controller looks, so finishing the step is denied."""
    found = finding(
        481,
        {
            "world": {"stepsPercent": [100]},
            "quiet": 1,
            "ticks": 6,
            "hours": 6,
            "every": 3,
            "seconds": 5.0,
            "moves": [
                {"tick": 1, "do": "release", "what": "worse"},
                {"tick": 6, "do": "release", "what": "skewed"},
            ],
            "injections": [
                {
                    "tick": 3,
                    "call": "registry.set_alias:after",
                    "number": 2,
                    "happening": "crash",
                    "seconds": 20.0,
                }
            ],
        },
    )
    assert play(found).broken == ()


def test_a_share_that_moved_unanswered_is_judged_as_what_it_is() -> None:
    """Seed 58091: the weights moved to 50 %, the lease ran out before the answer, and the champion
    crashed; the step was then called refused, the watch stayed at 10 %, and its evidence proved
    the same step again and again."""
    found = finding(
        58091,
        {
            "world": {"rowsPerHour": 30},
            "quiet": 1,
            "ticks": 7,
            "hours": 6,
            "every": 2,
            "seconds": 5.0,
            "answers": "reject",
            "moves": [
                {"tick": 1, "do": "release", "what": "good"},
                {"tick": 7, "do": "crash-server", "what": "champion"},
            ],
            "injections": [
                {
                    "tick": 6,
                    "call": "traffic.patch:after",
                    "number": 1,
                    "happening": "delay",
                    "seconds": 70.0,
                }
            ],
        },
    )
    assert play(found).broken == ()


def test_an_alias_taken_away_right_after_a_promotion_is_a_persons_doing() -> None:
    """Seed 71090: between the promotion and the next look there was nothing to compare with; the
    probation waited for ever for a former champion that nobody named any more."""
    found = finding(
        71090,
        {
            "quiet": 1,
            "ticks": 11,
            "hours": 12,
            "every": 2,
            "moves": [
                {"tick": 2, "do": "release", "what": "good"},
                {"tick": 11, "do": "drop-alias", "what": "former"},
            ],
        },
    )
    assert play(found).broken == ()


def test_a_time_that_comes_due_in_the_middle_of_a_canary_leaves_nobody_unwatched() -> None:
    """Seed 70140: the incident gave way to the release that was its own, and for a tick the canary
    was nobody's."""
    found = finding(
        70140,
        {
            "world": {"retrainEvery": "1h"},
            "quiet": 1,
            "ticks": 12,
            "hours": 12,
            "every": 3,
            "moves": [
                {"tick": 2, "do": "jump-clock", "amount": 30},
                {"tick": 12, "do": "jump-clock", "amount": 1},
            ],
        },
    )
    assert play(found).broken == ()


def test_a_switch_back_that_broke_off_after_its_aliases_is_finished() -> None:
    """Seed 83150: the way back had moved weights and aliases, but the data plane had not left the
    bad version within the deadline, which a crash had used up; with no former champion left the
    way back was not seen any more, its server stayed, and people were called again and again."""
    found = finding(
        83150,
        {
            "world": {"stepsPercent": [100], "shadowPercent": 50, "window": "1d"},
            "quiet": 1,
            "ticks": 12,
            "hours": 12,
            "every": 2,
            "seconds": 30.0,
            "moves": [{"tick": 1, "do": "release", "what": "worse"}],
            "injections": [
                {
                    "tick": 10,
                    "call": "journal.append:before",
                    "number": 8,
                    "happening": "unavailable",
                    "seconds": 14.0,
                },
                {
                    "tick": 11,
                    "call": "journal.append:before",
                    "number": 4,
                    "happening": "crash",
                    "seconds": 5.0,
                },
            ],
        },
    )
    assert play(found).broken == ()


def test_a_canary_that_went_back_unanswered_is_forgotten_for_the_next_challenger() -> None:
    """Seed 91999: the weights were back, the answer lost, the step given up in a pause; meanwhile
    somebody offered another version, and nothing in any plan ended the canary of the first."""
    found = finding(
        91999,
        {
            "quiet": 1,
            "ticks": 8,
            "hours": 24,
            "every": 3,
            "seconds": 5.0,
            "moves": [
                {"tick": 3, "do": "release", "what": "skewed"},
                {"tick": 5, "do": "release", "what": "bad"},
            ],
            "injections": [
                {
                    "tick": 5,
                    "call": "traffic.patch:after",
                    "number": 1,
                    "happening": "crash",
                    "seconds": 14.0,
                },
                {
                    "tick": 8,
                    "call": "traffic.patch:after",
                    "number": 1,
                    "happening": "pause",
                    "seconds": 20.0,
                },
            ],
        },
    )
    assert play(found).broken == ()


def test_a_way_back_that_took_effect_and_was_then_denied_leaves_no_challenger_behind() -> None:
    """Seed 100064: without another version it was the same: no traffic, a canary that nobody ended,
    and no way for any plan."""
    found = finding(
        100064,
        {
            "quiet": 6,
            "ticks": 16,
            "hours": 6,
            "seconds": 16.0,
            "answers": "reject",
            "moves": [
                {"tick": 1, "do": "drift"},
                {"tick": 1, "do": "train", "what": "bad"},
                {"tick": 10, "do": "disk-full"},
                {"tick": 14, "do": "disk-free"},
            ],
            "injections": [
                {
                    "tick": 15,
                    "call": "traffic.patch:after",
                    "number": 2,
                    "happening": "delay",
                    "seconds": 20.0,
                },
                {
                    "tick": 16,
                    "call": "traffic.patch:before",
                    "number": 1,
                    "happening": "pause",
                    "seconds": 5.0,
                },
            ],
        },
    )
    assert play(found).broken == ()
