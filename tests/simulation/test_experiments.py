"""An operator's A/B test in virtual time: mendloop looks on while it runs, and goes on after it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from stage import Play

from orchestrator.change_calendar import ChangeCalendar
from orchestrator.experiments import Experiments
from orchestrator.take_over import holder_of
from simulations.population import CHANGED
from simulations.releases import Release
from tools.documents import parse_document
from tools.errors import Refused
from tools.registry import CHALLENGER
from tools.statistics.verdict import Verdict


def experiments(play: Play, *calendars: ChangeCalendar) -> Experiments:
    world = play.world
    return Experiments(
        world.desk(),
        world.document,
        world.journal,
        calendars=calendars,
        sleep=lambda s: world.clock.advance(timedelta(seconds=s)),
    )


def version_of(play: Play, release: Release) -> str:
    """A version that is registered and nobody's challenger."""
    world = play.world
    with world.own():
        made = world.foundry.register(release, key="for-the-test")
        world.registry.delete_alias(made.model, CHALLENGER, key="none")
    return made.version


def start(play: Play, release: Release, percent: int = 50) -> str:
    version = version_of(play, release)
    with play.world.own():
        experiments(play).start(version, percent, by="kim", reason="does it sell?")
    play.world.settle()
    return version


def test_while_it_runs_mendloop_looks_on_and_afterwards_it_goes_on(tmp_path: Path) -> None:
    """Both versions answer, no incident is opened, and one write takes everybody back."""
    play = Play.begin(tmp_path)
    version = start(play, Release())
    play.tick(4)
    standing = play.world.standing()
    assert dict(standing.shares) == {"1": 50, version: 50}
    assert not standing.is_edited
    assert holder_of(play.world.journal, play.world.target) == "person"
    assert play.world.users.answered[version] > 0
    assert play.tools() == []
    with play.world.own():
        assert experiments(play).stop(by="kim", reason="no difference")
        play.world.settle()
    play.tick(4)

    assert dict(play.world.standing().shares) == {"1": 100}
    assert set(play.world.standing().servers) == {"1"}
    assert holder_of(play.world.journal, play.world.target) == "mendloop"
    assert play.tools() == []


def test_the_worse_arm_is_told_by_labels(tmp_path: Path) -> None:
    """On the same matured rows, at error rates that hold at every look."""
    play = Play.begin(tmp_path)
    start(play, Release(model=CHANGED))
    play.tick(12)
    with play.world.own():
        compared = experiments(play).compare()

    assert compared.is_running
    assert compared.by == "kim"
    assert compared.judgement is not None
    assert compared.judgement.verdict is Verdict.HARMFUL


def test_what_may_not_take_traffic_is_in_no_experiment(tmp_path: Path) -> None:
    """No gates, no server, the champion itself: nothing is routed."""
    play = Play.begin(tmp_path)
    ungated = version_of(play, Release(passes_gates=False))
    for version, told in ((ungated, "has not passed its gates"), ("1", "is the champion")):
        with play.world.own(), pytest.raises(Refused, match=told):
            experiments(play).start(version, 50, by="kim", reason="")
    assert holder_of(play.world.journal, play.world.target) == "mendloop"
    assert dict(play.world.standing().shares) == {"1": 100}


def test_it_waits_for_incidents_and_for_whoever_has_the_target(tmp_path: Path) -> None:
    """A release under way is not mixed with a test."""
    play = Play.begin(tmp_path)
    play.world.submit_challenger(Release())
    play.tick(2, hours=1)
    with play.world.own(), pytest.raises(Refused, match="is under way"):
        experiments(play).start("2", 50, by="kim", reason="")


def test_started_and_stopped_twice_is_once(tmp_path: Path) -> None:
    """Whoever was cut off calls again."""
    play = Play.begin(tmp_path)
    version = version_of(play, Release())
    with play.world.own():
        for _ in range(2):
            experiments(play).start(version, 20, by="kim", reason="")
        assert experiments(play).stop(by="kim", reason="")
        assert not experiments(play).stop(by="kim", reason="")


def test_none_begins_in_a_freeze_and_every_one_ends(tmp_path: Path) -> None:
    """The calendars of the loop hold for people who use its commands."""
    play = Play.begin(tmp_path)
    version = start(play, Release())
    document = {
        "apiVersion": "mendloop.dev/v1alpha1",
        "kind": "ChangeCalendar",
        "metadata": {"name": "year-end"},
        "spec": {
            "timeZone": "UTC",
            "freezes": [{"name": "all", "from": "2012-01-01", "until": "2014-01-01"}],
        },
    }
    asked = experiments(play, parse_document(document, ChangeCalendar, source="calendar"))
    world = play.world
    with world.own(), pytest.raises(Refused, match="frozen until 2014-01-01"):
        asked.start(version, 20, by="kim", reason="")
    with world.own():
        assert asked.stop(by="kim", reason="")
