"""An operator's own change is noticed and respected until the target is handed back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from stage import Play, acted, closed

from orchestrator.journal import kinds
from orchestrator.journal.interventions import TargetHandedBack, TargetTakenOver
from orchestrator.take_over import holder_of
from simulations.population import CHANGED
from simulations.rehearsal import incidents_of
from simulations.releases import Release
from simulations.world import World
from tools.registry import CHAMPION
from tools.workloads import ServingConfig


def announce(world: World) -> None:
    say(world, kinds.TARGET_TAKEN_OVER, TargetTakenOver(by="kim", reason="testing by hand"))


def hand_back(world: World) -> None:
    say(world, kinds.TARGET_HANDED_BACK, TargetHandedBack(by="kim"))


def say(world: World, kind: str, payload: TargetTakenOver | TargetHandedBack) -> None:
    world.journal.append(
        kind, at=world.clock.now(), actor="kim", payload=payload, target=world.target
    )


def seen(world: World) -> str:
    """What mendloop wrote about the newest take-over."""
    found = world.journal.last(kinds.TARGET_TAKEN_OVER, target=world.target)
    return "; ".join(found.payload["seen"]) if found else ""


def mid_canary(folder: Path) -> Play:
    play = Play.begin(folder, quiet_ticks=4)
    play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "start_canary"), hours=1)
    return play


def edit_weights(world: World) -> None:
    world.edit_route({"1": 70, "2": 30})


def move_champion(world: World) -> None:
    with world.own():
        world.registry.set_alias("parcels", CHAMPION, "2", key="kim")


def mask_a_column(world: World) -> None:
    with world.own():
        masked = ServingConfig(masked=("wind",))
        world.workloads.configure(world.target, "1", masked, key="kim", token=99)


HANDS: dict[str, tuple[Callable[[World], None], str]] = {
    "edited weights": (edit_weights, "the route was edited"),
    "a moved alias": (move_champion, "the alias 'champion' was version 1, is version 2"),
    "another configuration": (mask_a_column, "version 1 masked nothing, masks wind"),
}


@pytest.mark.parametrize("name", HANDS)
def test_a_change_by_hand_is_noticed_and_nothing_is_touched_any_more(
    tmp_path: Path, name: str
) -> None:
    """The incident ends, the journal says what was seen, and windows are observed on."""
    change, said = HANDS[name]
    play = mid_canary(tmp_path)
    change(play.world)
    play.tick()
    before = play.world.standing()
    body = play.world.traffic.read("default", "parcels").body
    observed = len(play.world.journal.events(kinds=[kinds.WINDOW_OBSERVED]))
    play.tick(6)

    assert said in seen(play.world)
    assert [i.outcome for i in closed(play.world)] == ["taken over"]
    assert len(play.world.journal.events(kinds=[kinds.TARGET_TAKEN_OVER])) == 1
    assert play.world.standing() == before
    assert play.world.traffic.read("default", "parcels").body == body
    assert len(play.world.journal.events(kinds=[kinds.WINDOW_OBSERVED])) > observed
    assert play.stage.defects == []


def test_a_target_announced_in_advance_is_left_in_the_middle_of_a_canary(tmp_path: Path) -> None:
    """Not even a new controller writes its stamp; after the hand-back the release goes on."""
    play = mid_canary(tmp_path)
    announce(play.world)
    effects = len(play.world.ledger.effects)
    body = play.world.traffic.read("default", "parcels").body
    play.tick(3)
    play.controller.stop("over")
    play.controller = play.stage.controller(lambda call: None)
    play.tick(3)
    assert len(play.world.ledger.effects) == effects
    assert play.world.traffic.read("default", "parcels").body == body

    hand_back(play.world)
    play.until(lambda world: acted(world, "promote"), hours=1)
    assert incidents_of(play.world)[0].outcome == "taken over"
    assert play.world.ledger.broken == []


def test_edited_weights_become_the_applied_ones_when_handed_back(tmp_path: Path) -> None:
    """A share that no evidence allows goes back; mendloop may write the route again."""
    play = mid_canary(tmp_path)
    edit_weights(play.world)
    play.tick(2)
    hand_back(play.world)
    play.until(lambda world: acted(world, "withdraw_challenger"), ticks=20, hours=0)

    (accepted,) = play.world.journal.events(kinds=[kinds.BASELINE_ACCEPTED])
    assert accepted.payload["found"]["split"] == {"1": 70, "2": 30}
    assert "goes back" in accepted.payload["notes"][0]
    assert dict(play.world.standing().shares) == {"1": 100}
    assert play.world.standing().is_edited is False
    play.check()


def test_a_share_that_the_evidence_allows_is_kept_and_counted_on(tmp_path: Path) -> None:
    """Kim set the step that comes next anyway: the canary goes on from there."""
    play = mid_canary(tmp_path)
    first = play.world.document.spec.rollout.steps_percent[0]
    play.world.edit_route({"1": 100 - first - 1, "2": first + 1})
    play.tick()
    play.world.edit_route({"1": 100 - first, "2": first})
    hand_back(play.world)
    play.until(lambda world: acted(world, "promote"), hours=1)

    (accepted,) = play.world.journal.events(kinds=[kinds.BASELINE_ACCEPTED])
    assert f"goes on at {first} %" in accepted.payload["notes"][0]
    assert play.world.ledger.broken == []


def test_traffic_that_a_person_took_away_is_not_given_again(tmp_path: Path) -> None:
    """Undoing a canary by hand is a decision about that version."""
    play = mid_canary(tmp_path)
    play.world.edit_route({"1": 100})
    play.tick(2)
    hand_back(play.world)
    play.until(lambda world: acted(world, "withdraw_challenger"), ticks=20, hours=0)

    assert dict(play.world.standing().shares) == {"1": 100}
    assert "start_canary" not in [a.tool for a in incidents_of(play.world)[-1].actions]
    play.check()


def test_a_version_that_a_person_made_champion_is_the_champion(tmp_path: Path) -> None:
    """Promoted by hand, alias and traffic: nothing is left to decide."""
    play = mid_canary(tmp_path)
    move_champion(play.world)
    play.world.edit_route({"2": 100})
    play.tick(2)
    hand_back(play.world)
    play.tick(4)

    assert dict(play.world.standing().shares) == {"2": 100}
    assert holder_of(play.world.journal, play.world.target) == "mendloop"
    assert all(i.status == "resolved" for i in incidents_of(play.world))


def test_mendloops_own_moves_are_never_taken_for_somebody_elses(tmp_path: Path) -> None:
    """A fall-back, a retraining, a promotion and its switch-back: aliases and masks all move."""
    play = Play.begin(tmp_path, rollout={"probation": "2d"})
    play.world.freeze()
    play.until(lambda world: acted(world, "fall_back_to_trusted_data"))
    play.world.thaw()
    play.until(lambda world: acted(world, "restore_inputs"))
    play.world.become(CHANGED)
    play.until(lambda world: acted(world, "retire_version"), ticks=90)

    assert play.world.journal.events(kinds=[kinds.TARGET_TAKEN_OVER]) == []
    play.check()
