"""Releases in virtual time: bad, slow, immeasurable, half-promoted, or somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from stage import Play, acted, closed

from orchestrator.journal import kinds
from simulations.population import CHANGED, Logistic
from simulations.releases import Release
from tools.errors import Unavailable

ROUTED = ("start_canary", "advance_canary")


def broken_judgements(play: Play) -> list[str]:
    """What ``judge_canary`` said where it found harm."""
    verified = [e.payload for e in play.world.journal.events(kinds=[kinds.STEP_VERIFIED])]
    return [
        said["detail"]
        for said in verified
        if (said["tool"], said["verdict"]) == ("judge_canary", "broken")
    ]


def test_a_bad_release_is_undone_on_proof_and_harms_no_more_than_its_step(play: Play) -> None:
    """Errors and slow answers: harm proved at the first step, all traffic back, withdrawn."""
    version = play.world.submit_challenger(Release(error_rate=0.2, slow_rate=0.2))
    before = sum(play.world.users.answered.values())
    (incident,) = play.until_closed()

    assert incident.outcome == "undone"
    assert [a.tool for a in incident.actions][-2:] == ["roll_back", "withdraw_challenger"]
    answered = play.world.users.answered
    met = answered[version] / (sum(answered.values()) - before)
    assert 0 < met <= 0.1
    standing = play.world.standing()
    assert dict(standing.aliases) == {"champion": "1"}
    assert set(standing.servers) == {"1"}

    play.tick(6)
    assert play.tools().count("start_canary") == 1


def test_a_version_that_is_only_slow_is_undone_too(play: Play) -> None:
    """Every guardrail counts by itself."""
    play.world.submit_challenger(Release(slow_rate=0.15))
    (incident,) = play.until_closed()

    assert incident.outcome == "undone"


def test_a_version_that_answers_without_predictions_is_undone_too(play: Play) -> None:
    """Refused inputs are no errors and are fast; they are counted by themselves."""
    play.world.submit_challenger(Release(missing_rate=0.2))
    (incident,) = play.until_closed()

    assert incident.outcome == "undone"
    (judged,) = broken_judgements(play)
    assert judged.startswith("missing:")


def test_a_version_that_calls_everything_late_is_undone_before_any_label(tmp_path: Path) -> None:
    """Sound operationally, true to its artifact, and not the same kind of model any more."""
    play = Play.begin(tmp_path, label={"delay": "60h"})
    play.world.submit_challenger(Release(model=Logistic(intercept=6.0)))
    (incident,) = play.until_closed()

    assert incident.outcome == "undone"
    (judged,) = broken_judgements(play)
    assert judged.startswith("scores differ by")


def test_a_version_that_serves_something_else_than_its_artifact_is_undone(play: Play) -> None:
    """Training-serving skew shows in no error count: recomputed probabilities tell."""
    play.world.submit_challenger(Release(skew=0.05))
    (incident,) = play.until_closed()

    assert incident.outcome == "undone"
    broken = [a.tool for a in incident.actions if a.verdict == "broken"]
    assert broken == ["check_training_serving_skew"]


@pytest.mark.parametrize("deadline", ["2m", "20m"])
def test_a_canary_that_nobody_can_measure_is_held_then_undone_never_promoted(
    tmp_path: Path, deadline: str
) -> None:
    """Metrics stay dark: unknown neither advances nor counts as harm; the deadline decides."""
    play = Play.begin(tmp_path, rollout={"stepDeadline": deadline})
    play.world.metrics.dark = "connection refused"
    play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "start_canary"), hours=1)
    limit_s = play.world.document.spec.rollout.step_deadline.total_seconds()
    began_s = play.world.clock.monotonic_s()
    play.until(lambda world: acted(world, "roll_back"), ticks=150, hours=0)
    held_s = play.world.clock.monotonic_s() - began_s
    (incident,) = play.until_closed(hours=1)

    assert limit_s - 30 <= held_s <= limit_s + 60
    assert incident.outcome == "undone"
    assert "promote" not in play.tools()
    assert "advance_canary" not in play.tools()
    play.check()


def test_a_canary_without_rows_to_recompute_is_undone_at_the_deadline(tmp_path: Path) -> None:
    """The skew check waits for served rows; when none come, traffic is not left where it is."""
    play = Play.begin(tmp_path)
    play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "start_canary"), hours=0)
    play.until(lambda world: bool(closed(world)), ticks=80, hours=0)
    (incident,) = closed(play.world)

    assert incident.outcome == "undone"
    assert dict(play.world.standing().shares) == {"1": 100}
    play.check()


def test_a_server_that_never_gets_ready_is_never_routed_to(play: Play) -> None:
    """The challenger is sent back without having met one request."""
    version = play.world.submit_challenger(Release(starts=False))
    play.until_closed()
    play.tick(2)

    assert not set(play.tools()) & set(ROUTED)
    assert play.world.users.answered.get(version, 0) == 0
    assert dict(play.world.standing().shares) == {"1": 100}


def test_a_third_partys_weights_are_left_as_they_are(play: Play) -> None:
    """mendloop stands down: it says so and writes nothing on the route any more."""
    play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "start_canary"), hours=1)
    play.world.edit_route({"1": 70, "2": 30})
    play.until(lambda world: bool(closed(world)), ticks=80, hours=0)

    (incident,) = closed(play.world)
    assert incident.outcome == "taken over"
    assert dict(play.world.standing().shares) == {"1": 70, "2": 30}


def test_labels_that_are_there_already_send_a_worse_model_back_in_its_canary(
    tmp_path: Path,
) -> None:
    """Both versions are asked about the same matured rows: it never serves everybody."""
    play = Play.begin(tmp_path)
    play.world.submit_challenger(Release(model=CHANGED))
    (incident,) = play.until_closed(hours=1)

    assert incident.outcome == "undone"
    assert "promote" not in [action.tool for action in incident.actions]
    assert dict(play.world.standing().shares) == {"1": 100}
    play.check()


def test_late_labels_that_speak_against_the_new_champion_switch_back(tmp_path: Path) -> None:
    """Operationally sound, worse on labels that come after the canary: the former champion, still
    warm, serves again."""
    play = Play.begin(tmp_path, rollout={"probation": "6d"}, label={"delay": "60h"})
    version = play.world.submit_challenger(Release(model=CHANGED))
    play.until(lambda world: acted(world, "promote"), hours=1)
    assert dict(play.world.standing().aliases) == {"champion": version, "former": "1"}
    (incident,) = play.until_closed()

    play.tick(2)

    assert incident.outcome == "switched back"
    standing = play.world.standing()
    assert dict(standing.aliases) == {"champion": "1"}
    assert dict(standing.shares) == {"1": 100}
    assert set(standing.servers) == {"1"}
    play.check()


def test_the_only_way_back_is_tried_again_after_a_missed_deadline(tmp_path: Path) -> None:
    """The route was back at once, the server of the worse version cannot be stopped for a while."""
    play = Play.begin(tmp_path, rollout={"probation": "6d"}, label={"delay": "60h"})
    version = play.world.submit_challenger(Release(model=CHANGED))
    play.until(lambda world: acted(world, "promote"), hours=1)

    def late() -> bool:
        told = play.world.journal.events(kinds=[kinds.STEP_OUTCOME])
        return any(e.payload["result"] == "unavailable" for e in told)

    def stuck(call: str) -> None:
        if call == "workloads.stop:before" and not late():
            raise Unavailable("the API server does not answer")

    play.world.fault = stuck
    (incident,) = play.until_closed()

    assert late()
    assert (incident.status, incident.outcome) == ("resolved", "switched back")
    assert dict(play.world.standing().shares) == {"1": 100}
    assert version not in play.world.standing().servers
    play.check()


def test_a_promotion_cut_off_by_a_registry_outage_is_finished_later(play: Play) -> None:
    """The champion alias moved, the challenger alias did not go: nothing is left in between."""
    failing = {"left": 3}

    def registry_down(call: str) -> None:
        if call == "registry.delete_alias:before" and failing["left"]:
            failing["left"] -= 1
            raise Unavailable("the registry does not answer")

    play.world.submit_challenger(Release())
    play.world.fault = registry_down
    (incident,) = play.until_closed()

    assert failing["left"] == 0
    assert incident.outcome == "promoted"
    assert dict(play.world.standing().aliases) == {"champion": "2"}
