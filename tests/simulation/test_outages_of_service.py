"""The champion itself is the broken one: restarted, switched back, or left to a person."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from stage import Play, acted

from orchestrator.journal import kinds
from simulations.rehearsal import incidents_of
from simulations.releases import Release
from tools.errors import Unavailable
from tools.workloads import ServerPhase

MINUTE_S = 60.0


def _minutes(play: Play, minutes: int) -> None:
    for _ in range(minutes):
        play.world.step(hours=1, seconds=MINUTE_S)
        play.controller.tick()


def _forgive_the_restart(play: Play, version: str) -> None:
    """A server that is being started anew has its traffic already."""
    broken = play.world.ledger.broken
    meant = f"version {version} is not servable"
    play.world.ledger.broken = [line for line in broken if not line.startswith(meant)]
    play.world.users.failed.pop("", 0)


def test_a_champion_whose_server_died_is_restarted(play: Play) -> None:
    """Crashed beyond the platform's own restarts: started anew, and watched until it answers."""
    world = play.world
    while world.workloads.read(world.target, "1").phase is not ServerPhase.FAILED:
        world.workloads.crash(world.target, "1")
        world.clock.advance(timedelta(seconds=20))
    _minutes(play, 12)

    assert play.world.users.failed[""] > 0
    (incident,) = incidents_of(play.world)
    assert (incident.goal, incident.status) == ("the service answers", "resolved")
    assert [a.tool for a in incident.actions] == ["restart_serving"]
    _forgive_the_restart(play, "1")
    assert play.world.workloads.answers(play.world.target, "1")
    assert dict(play.world.standing().shares) == {"1": 100}


def test_a_champion_whose_server_is_gone_gets_another_and_nobody_is_thought_to_want_that(
    play: Play,
) -> None:
    """Its node, its Deployment or its record is lost: an outage, not a person's decision."""
    world = play.world
    world.workloads.vanish(world.target, "1")
    _minutes(play, 12)

    (incident,) = incidents_of(world)
    assert (incident.goal, incident.outcome) == ("the service answers", "restarted")
    assert [a.tool for a in incident.actions] == ["restart_serving"]
    assert world.journal.events(kinds=[kinds.TARGET_TAKEN_OVER]) == []
    assert world.workloads.answers(world.target, "1")
    _forgive_the_restart(play, "1")
    assert dict(world.standing().shares) == {"1": 100}


def test_a_canary_whose_server_is_gone_goes_back_at_once(play: Play) -> None:
    """Nothing counts what users do not get from it; the champion answers."""
    world = play.world
    version = world.submit_challenger(Release())
    play.until(lambda world: acted(world, "start_canary"), hours=1)
    world.workloads.vanish(world.target, version)
    world.settle()
    play.tick(2, hours=1)

    assert play.tools()[-2:] == ["roll_back", "withdraw_challenger"]
    _forgive_the_restart(play, version)
    assert dict(world.standing().shares) == {"1": 100}
    assert world.journal.events(kinds=[kinds.TARGET_TAKEN_OVER]) == []


def test_a_restart_that_does_not_help_calls_a_person_and_is_not_repeated(play: Play) -> None:
    """The only version fails whatever is done: once restarted, then left as it is."""
    play.world.foundry.made["1"] = Release(error_rate=0.3)
    _minutes(play, 40)

    tools = play.tools()
    assert tools.count("restart_serving") == 1  # the last resort, after the version before
    assert incidents_of(play.world)[0].status == "escalated"
    _forgive_the_restart(play, "1")
    assert dict(play.world.standing().shares) == {"1": 100}


def test_a_short_burst_of_errors_changes_nothing(play: Play) -> None:
    """A minute in which a third of the requests fail is one observation."""
    good = play.world.foundry.made["1"]
    _minutes(play, 10)
    play.world.foundry.made["1"] = Release(error_rate=0.3)
    play.world.step(hours=0, seconds=20)
    play.world.foundry.made["1"] = good
    _minutes(play, 20)

    assert play.tools() == []


def test_a_version_that_fails_only_under_all_traffic_is_switched_back(tmp_path: Path) -> None:
    """Good as a canary, failing as champion: users do not wait for the end of the probation."""
    play = Play.begin(tmp_path, rollout={"probation": "6d"})
    version = play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "promote"), hours=1)
    play.world.foundry.made[version] = Release(error_rate=0.3)
    _minutes(play, 15)

    assert dict(play.world.standing().aliases) == {"champion": "1"}
    assert dict(play.world.standing().shares) == {"1": 100}
    assert "restart_serving" not in play.tools()
    play.check()


def test_a_way_back_that_broke_off_is_finished_in_the_same_incident(tmp_path: Path) -> None:
    """The bad version's server cannot be stopped for a while: weights and aliases are back at once,
    the rest follows in the same incident, and nobody is called."""
    play = Play.begin(tmp_path, rollout={"probation": "6d"})
    version = play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "promote"), hours=1)
    play.world.foundry.made[version] = Release(error_rate=0.3)

    def late() -> bool:
        told = play.world.journal.events(kinds=[kinds.STEP_OUTCOME])
        return ("switch_back", "unavailable") in [
            (e.payload["tool"], e.payload["result"]) for e in told
        ]

    def stuck(call: str) -> None:
        if call == "workloads.stop:before" and not late():
            raise Unavailable("the API server does not answer")

    play.world.fault = stuck
    _minutes(play, 15)

    assert late()
    (incident,) = incidents_of(play.world)
    assert (incident.status, incident.outcome) == ("resolved", "switched back")
    standing = play.world.standing()
    assert (dict(standing.aliases), dict(standing.shares)) == ({"champion": "1"}, {"1": 100})
    assert version not in standing.servers
    play.check()


def test_a_failing_champion_makes_way_for_the_version_before(tmp_path: Path) -> None:
    """Its former was retired long ago: it is started again, then takes all traffic; nobody is left
    without an answer by a restart."""
    play = Play.begin(tmp_path, rollout={"probation": "6h"}, label={"delay": "1h"})
    version = play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "retire_version"), hours=2)
    play.world.foundry.made[version] = Release(error_rate=0.3)
    _minutes(play, 40)

    tools = play.tools()
    assert tools[-2:] == ["revive_former", "switch_back"]
    standing = play.world.standing()
    assert dict(standing.aliases) == {"champion": "1"}
    assert dict(standing.shares) == {"1": 100}
    assert incidents_of(play.world)[-1].outcome == "switched back"
    play.check()


def test_a_healthy_challenger_is_the_way_out_of_a_failing_champion(play: Play) -> None:
    """The canary goes on while stable fails: what is proved better takes over."""
    version = play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "start_canary"), hours=1)
    play.world.foundry.made["1"] = Release(error_rate=0.3)
    _minutes(play, 30)

    assert play.world.standing().aliases["champion"] == version
    assert "roll_back" not in play.tools()
