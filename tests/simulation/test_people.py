"""People and the loop: they approve, reject, stay away, and stop it in the middle of a canary."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from stage import Play, acted, closed

from orchestrator import approvals
from orchestrator.approvals import APPROVAL_KINDS, Standing, fold_approvals
from orchestrator.journal import kinds
from orchestrator.kill_switch import KillSwitch, Pause
from simulations.releases import Release
from simulations.world import World

Decide = Callable[[Standing], bool | None]
"""Yes, no, or nobody there."""


def begin(folder: Path, **guardrails: Any) -> Play:
    """A target on which a person approves every change of production."""
    rules = {"autonomy": "approve", "approval_valid_for": "90s", **guardrails}
    return Play.begin(folder, quiet_ticks=2, guardrails=rules)


def standing(world: World) -> list[Standing]:
    return fold_approvals(world.journal.events(kinds=APPROVAL_KINDS))


def answer_with(decide: Decide) -> Callable[[World], bool]:
    """Each request is answered at the next tick; ends when nothing is under way."""

    def over(world: World) -> bool:
        for asked in standing(world):
            yes = decide(asked) if asked.status == "pending" else None
            if yes is not None:
                approvals.answer(
                    world.journal, world.clock, asked.approval, by="kim", approve=yes, reason="no"
                )
        return bool(closed(world))

    return over


def yes_until(tool: str) -> Decide:
    """Kim approves everything up to this tool, and then is gone."""
    return lambda asked: None if asked.request.tool == tool else True


def test_with_a_yes_to_each_step_the_release_goes_through(tmp_path: Path) -> None:
    """Every change of production was asked for once; looking needed nobody."""
    play = begin(tmp_path)
    play.world.submit_challenger(Release())
    play.until(answer_with(lambda asked: True), hours=6)

    (incident,) = closed(play.world)
    assert incident.outcome == "promoted"
    assert [asked.request.tool for asked in standing(play.world)] == [
        "deploy_challenger",
        "start_canary",
        "advance_canary",
        "advance_canary",
        "promote",
        "retire_version",
    ]
    assert {asked.status for asked in standing(play.world)} == {"used"}
    play.check()


def test_a_no_in_the_middle_of_a_canary_takes_the_traffic_back(tmp_path: Path) -> None:
    """The way is closed: what is half-way goes back by itself, then a person has the word."""
    play = begin(tmp_path)
    play.world.submit_challenger(Release())
    play.until(answer_with(lambda asked: asked.request.tool != "advance_canary"))

    (incident,) = closed(play.world)
    assert dict(play.world.standing().shares) == {"1": 100}
    assert [a.tool for a in incident.actions][-2:] == ["roll_back", "withdraw_challenger"]
    assert "advance_canary" not in [a.tool for a in incident.actions]
    play.check()


def test_an_approver_who_is_gone_mid_canary_lets_it_go_back(tmp_path: Path) -> None:
    """The default when nobody answers: undo, then a person is told; nothing stays half-way."""
    play = begin(tmp_path, approval_contact="ml-oncall")
    play.world.submit_challenger(Release())
    play.until(answer_with(yes_until("advance_canary")), hours=1)

    (incident,) = closed(play.world)
    assert incident.status == "escalated"
    assert [a.tool for a in incident.actions][-2:] == ["roll_back", "withdraw_challenger"]
    assert dict(play.world.standing().shares) == {"1": 100}
    (over,) = play.world.journal.events(kinds=[kinds.APPROVAL_EXPIRED])
    assert (over.payload["contact"], over.payload["then"]) == ("ml-oncall", "undo")
    play.check()


def test_who_is_asked_to_wait_waits_and_is_asked_again(tmp_path: Path) -> None:
    """``wait``: the canary keeps its share, is watched, and goes on with the late yes."""
    play = begin(tmp_path, approval_unanswered="wait")
    play.world.submit_challenger(Release())
    play.until(lambda world: answer_with(yes_until("advance_canary"))(world) or _asked(world, 1))
    shares = dict(play.world.standing().shares)
    play.tick(12, hours=0)  # longer than a request lasts
    assert dict(play.world.standing().shares) == shares
    assert len(play.world.journal.events(kinds=[kinds.APPROVAL_EXPIRED])) >= 1

    play.until(answer_with(lambda asked: True))
    assert closed(play.world)[0].outcome == "promoted"
    play.check()


def _asked(world: World, times: int) -> bool:
    return sum(asked.request.tool == "advance_canary" for asked in standing(world)) >= times


def test_harm_that_shows_while_nobody_answers_is_undone(tmp_path: Path) -> None:
    """A proved step keeps its traffic during the wait, so it is watched; undoing asks nobody."""
    play = begin(tmp_path, approval_unanswered="wait")
    version = play.world.submit_challenger(Release())
    play.until(lambda world: answer_with(yes_until("advance_canary"))(world) or _asked(world, 1))
    play.world.foundry.made[version] = Release(error_rate=0.3)
    play.until(lambda world: acted(world, "roll_back"), ticks=20, hours=0)

    assert dict(play.world.standing().shares) == {"1": 100}
    (asked,) = [a for a in standing(play.world) if a.request.tool == "advance_canary"]
    assert asked.status == "invalidated"
    play.check()


def mid_canary(folder: Path, **world: Any) -> Play:
    play = Play.begin(folder, quiet_ticks=2, **world)
    play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "start_canary"), hours=1)
    return play


def pause(play: Play, **order: Any) -> KillSwitch:
    switch = KillSwitch(play.world.kill_switch)
    switch.pause(play.world.target, Pause(by="kim", reason="fair week", **order))
    return switch


def test_a_pause_that_holds_leaves_a_canary_where_it_is(tmp_path: Path) -> None:
    """Nothing moves, windows are observed on, and the release goes on afterwards."""
    play = mid_canary(tmp_path)
    switch = pause(play)
    before, effects = play.world.standing(), len(play.world.ledger.effects)
    observed = len(play.world.journal.events(kinds=[kinds.WINDOW_OBSERVED]))
    play.tick(10)
    assert play.world.standing() == before
    assert len(play.world.ledger.effects) == effects
    assert len(play.world.journal.events(kinds=[kinds.WINDOW_OBSERVED])) > observed

    switch.resume(play.world.target)
    assert play.until_closed()[0].outcome in ("promoted", "undone")
    play.check()


def test_a_pause_that_goes_back_takes_the_canary_down_and_then_holds(tmp_path: Path) -> None:
    """The champion serves everything, the challenger is gone, and no new one is let in."""
    play = mid_canary(tmp_path)
    switch = pause(play, in_flight="go-back")
    play.until(lambda world: acted(world, "withdraw_challenger"), ticks=10, hours=0)
    assert dict(play.world.standing().shares) == {"1": 100}
    assert dict(play.world.standing().aliases) == {"champion": "1"}

    with play.world.own():
        play.world.foundry.submit_challenger(Release(), key="the next one")
    effects = len(play.world.ledger.effects)
    play.tick(10)
    assert len(play.world.ledger.effects) == effects

    switch.resume(play.world.target)
    play.until_closed()
    assert dict(play.world.standing().aliases) == {"champion": "3"}
    play.check()


def test_going_back_needs_everybody_who_stopped_it(tmp_path: Path) -> None:
    """One pause says go back, the file of somebody else says stop: stop is the stronger word."""
    play = mid_canary(tmp_path)
    pause(play, in_flight="go-back")
    play.world.kill_switch.touch()
    before = play.world.standing()
    play.tick(10)

    assert play.world.standing() == before


@pytest.mark.parametrize("in_flight", ["hold", "go-back"])
def test_a_question_is_not_lost_in_a_pause(tmp_path: Path, in_flight: str) -> None:
    """Approved while paused: nothing moves before the pause is over."""
    play = begin(tmp_path, approval_valid_for="24h")
    play.world.submit_challenger(Release())
    play.until(lambda world: bool(standing(world)))
    switch = pause(play, in_flight=in_flight)
    answer_with(lambda asked: True)(play.world)
    effects = len(play.world.ledger.effects)
    play.tick(5)
    assert len(play.world.ledger.effects) == effects

    switch.resume(play.world.target)
    play.until(lambda world: acted(world, "deploy_challenger"), ticks=10)
    assert standing(play.world)[0].status == "used"
    play.check()


def test_a_question_that_no_rule_asks_any_more_is_taken_back(tmp_path: Path) -> None:
    """The rules were loosened meanwhile: the step is taken, and nobody is left with a question."""
    play = begin(tmp_path, approval_valid_for="24h")
    play.world.submit_challenger(Release())
    play.until(lambda world: bool(standing(world)))
    guardrails = play.world.document.spec.guardrails.model_copy(update={"autonomy": "auto"})
    spec = play.world.document.spec.model_copy(update={"guardrails": guardrails})
    play.world.document = play.world.document.model_copy(update={"spec": spec})
    play.controller.stop("new document")
    play.controller = play.stage.controller(lambda call: None)
    play.until(lambda world: acted(world, "deploy_challenger"), ticks=10)

    assert [asked.status for asked in standing(play.world)] == ["invalidated"]
    play.check()


def test_nothing_happens_while_nobody_answers(tmp_path: Path) -> None:
    """A pending request holds the step until its time is over."""
    play = begin(tmp_path, approval_valid_for="24h")
    play.world.submit_challenger(Release())
    play.tick(8)

    assert len(standing(play.world)) == 1
    assert play.world.ledger.effects == []
    assert standing(play.world)[0].is_over(play.world.clock.now() + timedelta(hours=24))
