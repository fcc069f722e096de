"""A rollout that begins with a shadow, in virtual time: copies first, shares only after proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stage import Play, acted, closed

from orchestrator.journal import kinds
from simulations.population import Logistic
from simulations.releases import Release
from tools.errors import Unavailable
from tools.log_parts import shadow_of
from tools.managed_model import Shadow

SHADOW = {"percent": 50, "for": "60s", "deadline": "10m"}
ROUTED = {"start_canary", "advance_canary", "promote"}


def begin(folder: Path, **shadow: Any) -> Play:
    return Play.begin(folder, rollout={"shadow": {**SHADOW, **shadow}})


def mirrored_to(play: Play) -> str:
    return play.world.standing().mirror


def judged(play: Play) -> str:
    """What the shadow came to, in its own words."""
    verified = [e.payload for e in play.world.journal.events(kinds=[kinds.STEP_VERIFIED])]
    return [v["detail"] for v in verified if v["tool"] == "judge_shadow"][-1]


def test_a_good_release_answers_copies_before_it_answers_users(tmp_path: Path) -> None:
    """Its time is waited out; the first share ends the copies; nobody met it before."""
    play = begin(tmp_path)
    version = play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "shadow"), hours=1)
    began_s = play.world.clock.monotonic_s()
    assert mirrored_to(play) == version
    play.until(lambda world: acted(world, "start_canary"), hours=1)

    assert play.world.clock.monotonic_s() - began_s >= 60
    assert mirrored_to(play) == ""
    assert "decisions differ" in judged(play)
    (incident,) = play.until_closed()
    assert incident.outcome == "promoted"
    tools = [action.tool for action in incident.actions]
    assert tools[:4] == ["deploy_challenger", "shadow", "judge_shadow", "start_canary"]
    play.check()


def test_nothing_that_a_copy_was_answered_counts_as_served(tmp_path: Path) -> None:
    """The log of what was served, and the counters of those who were answered, know no shadow."""
    play = begin(tmp_path, **{"for": "5m"})
    play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "shadow"), hours=1)
    play.tick(6, hours=1)

    desk, target = play.world.desk(), play.world.target
    served, copied = desk.log.extent(target), desk.log.extent(shadow_of(target))
    assert served.first is not None
    assert served.watermark is not None
    assert copied.rows > 0
    rows = desk.log.predictions(target, start=served.first, end=served.watermark, columns=())
    assert set(rows["version"]) == {"1"}
    assert "2" not in play.world.users.answered


@pytest.mark.parametrize(
    ("release", "reason"),
    [
        (Release(error_rate=0.2), "copies: errors:"),
        (Release(slow_rate=0.2), "copies: slow:"),
        (Release(skew=0.05), "served and recomputed probabilities differ"),
        (Release(model=Logistic(intercept=6.0)), "scores differ by"),
        (Release(strain=0.5), "of the champion's were slow"),
    ],
    ids=["fails", "slow", "skewed", "another model", "a burden"],
)
def test_a_bad_release_meets_no_user_at_all(tmp_path: Path, release: Release, reason: str) -> None:
    """Whatever speaks against it, the copies end, it is withdrawn, and the weights never moved."""
    play = begin(tmp_path, **{"for": "5m"})
    version = play.world.submit_challenger(release)
    (incident,) = play.until_closed(hours=1)

    assert reason in judged(play)
    assert not ROUTED & set(play.tools())
    assert [a.tool for a in incident.actions][-2:] == ["stop_shadow", "withdraw_challenger"]
    assert incident.outcome == "withdrawn"
    assert version not in play.world.users.answered
    assert mirrored_to(play) == ""
    play.tick(6)
    assert play.tools().count("shadow") == 1
    play.check()


def test_a_shadow_that_nobody_can_measure_ends_at_its_deadline(tmp_path: Path) -> None:
    """Unknown is neither good nor bad: no share is given, and no copy is made for ever."""
    play = begin(tmp_path, deadline="3m")
    play.world.metrics.dark = "connection refused"
    play.world.submit_challenger(Release())
    play.until(lambda world: bool(closed(world)), ticks=80, hours=1)

    assert judged(play).startswith("no decision within 180 s")
    assert not ROUTED & set(play.tools())
    assert mirrored_to(play) == ""
    play.check()


def test_a_registry_that_does_not_answer_does_not_keep_the_copies_going(tmp_path: Path) -> None:
    """What the shadow began with is enough to judge it and to end it."""
    play = begin(tmp_path)
    play.world.submit_challenger(Release(error_rate=0.3))
    play.until(lambda world: acted(world, "shadow"), hours=1)

    def registry_down(call: str) -> None:
        if call.startswith("registry.") and call.endswith(":before"):
            raise Unavailable("the registry does not answer")

    play.world.fault = registry_down
    play.until(lambda world: world.standing().mirror == "", hours=1)
    play.world.fault = lambda call: None
    play.until_closed(hours=1)
    play.check()


def test_a_mirror_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """A route that mendloop never copied from belongs to whoever did."""
    play = Play.begin(tmp_path, quiet_ticks=2)
    host = play.world.document.spec.serving.host
    mirror = {"host": host, "subset": "v1"}
    play.world.traffic.edit(
        "default", "parcels", [{"op": "add", "path": "/spec/http/0/mirror", "value": mirror}]
    )
    play.tick(6)

    assert play.tools() == []


def test_a_person_who_edits_the_route_in_the_midst_of_it_has_it_in_hand(tmp_path: Path) -> None:
    """mendloop stands down; handed back, the copies that are left are ended and not judged."""
    play = begin(tmp_path)
    play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "shadow"), hours=1)
    play.world.edit_route({"1": 70, "2": 30})
    play.until(lambda world: bool(closed(world)), ticks=20, hours=1)

    (incident,) = closed(play.world)
    assert incident.outcome == "taken over"
    assert mirrored_to(play) == "2"


def test_the_document_says_how(tmp_path: Path) -> None:
    """``for`` is a word of the document; a deadline before it makes no sense."""
    shadow = Shadow.model_validate({"percent": 20, "for": "10m", "deadline": "1h"})
    assert shadow.model_dump(mode="json", by_alias=True)["for"] == "600s"
    with pytest.raises(ValueError, match=r"longer than shadow\.for"):
        Shadow.model_validate({"for": "2h", "deadline": "1h"})
