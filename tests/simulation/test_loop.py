"""Whole incidents in virtual time: drift, faults of the data, and a target left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from stage import Play, acted, closed

from orchestrator.journal import kinds
from simulations.population import CHANGED, FEED_COLUMNS, USUAL
from simulations.rehearsal import incidents_of
from simulations.releases import Release
from simulations.world import World

ROUTED = ("start_canary", "advance_canary")
TRAINED = ("retrain_full", "retrain_recent")


def test_concept_drift_is_retrained_proved_in_steps_promoted_and_settled(play: Play) -> None:
    """The world changes for good: found from matured labels, cured, and the old version retired."""
    play.world.become(CHANGED)
    (incident,) = play.until_closed()

    assert incident.goal == "the served model meets its objectives"
    assert (incident.diagnosis, incident.outcome) == ("concept_drift", "promoted")
    assert [a.tool for a in incident.actions] == [
        "pin_training_data",
        "retrain_full",
        "deploy_challenger",
        "start_canary",
        "judge_canary",
        "check_training_serving_skew",
        "advance_canary",
        "judge_canary",
        "advance_canary",
        "promote",
        "watch_probation",
        "retire_version",
    ]
    standing = play.world.standing()
    assert dict(standing.aliases) == {"champion": "2"}
    assert dict(standing.shares) == {"2": 100}
    assert set(standing.servers) == {"2"}

    play.tick(12)
    assert len(incidents_of(play.world)) == 1


def test_one_incident_promotes_once_even_if_the_new_champion_is_no_better(play: Play) -> None:
    """What is still wrong after a promotion is for a new incident, under the cool-down."""
    play.world.foundry.coming = [Release(model=USUAL)]
    play.world.become(CHANGED)
    play.until(lambda world: acted(world, "retire_version"))
    first = incidents_of(play.world)[0]

    assert first.outcome == "promoted"
    assert play.tools().count("retrain_full") == 1


def test_a_frozen_feed_is_set_aside_and_masked_until_it_recovers_and_nothing_is_trained(
    play: Play,
) -> None:
    """A data fault is repaired at its source: quarantine, fall back, wait, restore."""
    play.world.freeze()
    play.until(lambda world: acted(world, "fall_back_to_trusted_data"), ticks=8)
    assert dict(play.world.standing().masked) == {"1": FEED_COLUMNS}

    play.tick(4)
    assert not closed(play.world)

    play.world.thaw()
    (incident,) = play.until_closed(ticks=8)

    assert (incident.concern, incident.outcome) == ("data", "recovered")
    assert dict(play.world.standing().masked) == {"1": ()}
    assert not set(play.tools()) & {*TRAINED, *ROUTED}
    assert dict(play.world.standing().shares) == {"1": 100}


def test_what_came_in_while_the_feed_was_frozen_is_never_trained_on(play: Play) -> None:
    """The quarantine outlives the incident: later training leaves those rows out."""
    import pandas as pd

    began = play.world.event_time
    play.world.freeze()
    play.tick(4)
    play.world.thaw()
    play.until_closed(ticks=8)
    ended = play.world.event_time
    play.world.become(CHANGED)
    play.until(lambda world: acted(world, "retrain_full"))

    (pinned,) = (play.world.folder / "pins").iterdir()
    sent = pd.read_parquet(pinned)["sent"]
    window = pd.Timedelta(play.world.document.spec.evidence.window)
    frozen = sent[(sent >= began) & (sent < ended - 2 * window)]
    assert len(frozen) == 0
    assert (sent >= ended).any()


def test_gates_that_refuse_every_model_end_with_a_person_and_nothing_deployed(
    play: Play,
) -> None:
    """Tried again as its contract allows, then escalated with the reason; no server, no route."""
    play.world.foundry.coming = [Release(passes_gates=False)]
    play.world.become(CHANGED)
    (incident,) = play.until_closed()

    assert incident.status == "escalated"
    assert [a.tool for a in incident.actions] == [
        "pin_training_data",
        "retrain_full",
        "retrain_full",
    ]
    keys = [a.key for a in incident.actions if a.tool == "retrain_full"]
    assert len(set(keys)) == 2
    assert set(play.world.standing().servers) == {"1"}
    assert dict(play.world.standing().shares) == {"1": 100}


def test_a_challenger_that_harms_is_followed_by_a_newly_trained_one(play: Play) -> None:
    """After an undone canary the same incident trains again, under another key, and ends well."""
    bad = Release(model=CHANGED, error_rate=0.2)
    play.world.foundry.coming = [bad, Release(model=CHANGED)]
    play.world.become(CHANGED)
    (incident,) = play.until_closed()

    assert incident.outcome == "promoted"
    trained = [a for a in incident.actions if a.tool == "retrain_full"]
    assert len({a.key for a in trained}) == 2
    started = [a for a in incident.actions if a.tool == "start_canary"]
    assert [a.outcome for a in started] == ["applied", "applied"]
    assert len({a.key for a in started}) == 2
    assert dict(play.world.standing().aliases) == {"champion": "3"}


def test_the_kill_switch_stops_every_change_while_observation_goes_on(play: Play) -> None:
    """Nothing moves under the hand on the switch; afterwards the incident goes on by itself."""
    play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "start_canary"), hours=1)
    play.world.kill_switch.touch()
    standing = play.world.standing()
    effects = len(play.world.ledger.effects)
    observed = len(play.world.journal.events(kinds=[kinds.WINDOW_OBSERVED]))
    play.tick(10)

    assert play.world.standing() == standing
    assert len(play.world.ledger.effects) == effects
    assert len(play.world.journal.events(kinds=[kinds.WINDOW_OBSERVED])) > observed

    play.world.kill_switch.unlink()
    (incident,) = play.until_closed()
    assert incident.outcome in ("promoted", "undone")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_healthy_target_is_left_alone(tmp_path: Path, seed: int) -> None:
    """Promise 10: sixty windows in which nothing is wrong, and not one change."""
    play = Play.begin(tmp_path, seed=seed)
    body = play.world.traffic.read("default", "parcels").body
    play.tick(60)

    assert incidents_of(play.world) == []
    assert play.world.ledger.effects == []
    assert play.world.traffic.read("default", "parcels").body == body
    play.check()


def test_labels_that_stop_coming_prove_nothing(play: Play) -> None:
    """A dead label feed is unknown, not bad: nothing is trained on silence."""
    play.world.users.labels_arrive = False
    play.world.become(CHANGED)
    play.tick(20)

    assert incidents_of(play.world) == []


def test_a_lost_pipeline_run_is_submitted_once_more(play: Play) -> None:
    """Its process is gone without a result: detected, and tried again under another key."""
    play.world.become(CHANGED)

    def submitted(world: World) -> bool:
        return any(a.tool == "retrain_full" for i in incidents_of(world) for a in i.actions)

    play.until(submitted)
    (intent,) = [
        e
        for e in play.world.journal.events(kinds=[kinds.STEP_INTENDED])
        if e.payload["tool"] == "retrain_full"
    ]
    play.world.runs.lose(intent.payload["key"])
    (incident,) = play.until_closed()

    assert incident.outcome == "promoted"
    verdicts = [a.verdict for a in incident.actions if a.tool == "retrain_full"]
    assert verdicts == ["broken", "holds"]


def test_the_same_seed_gives_the_same_journal_byte_for_byte(tmp_path: Path) -> None:
    """Promise 11: decisions depend on readings, time and seed, and on nothing else."""
    heads = []
    for number in range(2):
        play = Play.begin(tmp_path / "world", quiet_ticks=4)
        play.world.submit_challenger(Release(model=USUAL))
        play.until(lambda world: acted(world, "promote"), hours=1)
        heads.append(play.world.journal.head())
        play.check()
        assert number < 2

    assert heads[0] == heads[1]
