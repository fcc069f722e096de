"""Whole incidents in virtual time: what the real controller makes of what happens to a target."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from stage import Stage, acted, closed

from orchestrator.controller import Controller
from orchestrator.journal import kinds
from orchestrator.journal.incidents import IncidentSummary
from simulations.faults import no_fault
from simulations.population import CHANGED, FEED_COLUMNS, USUAL
from simulations.rehearsal import incidents_of, run_until
from simulations.releases import Release
from simulations.world import World
from tools.errors import Unavailable

ROUTED = ("start_canary", "advance_canary")
TRAINED = ("retrain_full", "retrain_recent")


@dataclass
class Play:
    """A world and the controller at work in it."""

    world: World
    stage: Stage
    controller: Controller

    @classmethod
    def begin(cls, folder: Path, *, quiet_ticks: int = 6, **world: object) -> Play:
        """Some quiet windows first, so that there is a trusted past to compare with."""
        made = World(folder, **world)  # type: ignore[arg-type]
        stage = Stage(made)
        play = cls(made, stage, stage.controller(no_fault))
        play.tick(quiet_ticks)
        return play

    def tick(self, ticks: int = 1, *, hours: int = 6) -> None:
        for _ in range(ticks):
            self.world.step(hours=hours)
            self.controller.tick()

    def until(self, reached: Callable[[World], bool], *, ticks: int = 60, hours: int = 6) -> int:
        return run_until(self.world, self.controller, reached, ticks=ticks, hours=hours)

    def until_closed(self, *, ticks: int = 60, hours: int = 6) -> list[IncidentSummary]:
        self.until(lambda world: bool(closed(world)), ticks=ticks, hours=hours)
        return closed(self.world)

    def tools(self) -> list[str]:
        """Every tool that acted, in order, over all incidents."""
        return [a.tool for i in incidents_of(self.world) for a in i.actions]

    def check(self) -> None:
        """The promises that hold in every story."""
        self.world.ledger.check_end()
        assert self.world.ledger.broken == []
        assert self.stage.defects == []
        assert self.world.failed.get("", 0) == 0


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """An ordinary play, its promises checked when it is over."""
    begun = Play.begin(tmp_path)
    yield begun
    begun.check()


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


def test_a_bad_release_is_undone_on_proof_and_harms_no_more_than_its_step(play: Play) -> None:
    """Errors and slow answers: harm proved at the first step, all traffic back, withdrawn."""
    version = play.world.submit_challenger(Release(error_rate=0.2, slow_rate=0.2))
    before = sum(play.world.answered.values())
    (incident,) = play.until_closed()

    assert incident.outcome == "undone"
    assert [a.tool for a in incident.actions][-2:] == ["roll_back", "withdraw_challenger"]
    answered = play.world.answered
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


def test_a_server_that_never_gets_ready_is_never_routed_to(play: Play) -> None:
    """The challenger is sent back without having met one request."""
    version = play.world.submit_challenger(Release(starts=False))
    play.until_closed()
    play.tick(2)

    assert not set(play.tools()) & set(ROUTED)
    assert play.world.answered.get(version, 0) == 0
    assert dict(play.world.standing().shares) == {"1": 100}


def test_a_third_partys_weights_are_left_as_they_are_and_a_person_is_called(play: Play) -> None:
    """mendloop stands down: it says so and writes nothing on the route any more."""
    play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "start_canary"), hours=1)
    play.world.edit_route({"1": 70, "2": 30})
    play.until(lambda world: bool(closed(world)), ticks=80, hours=0)

    (incident,) = closed(play.world)
    assert incident.status == "escalated"
    assert dict(play.world.standing().shares) == {"1": 70, "2": 30}
    refused = [a for a in incident.actions if a.outcome == "refused"]
    assert any("edited by somebody else" in a.detail for a in refused)


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
    play.world.labels_arrive = False
    play.world.become(CHANGED)
    play.tick(20)

    assert incidents_of(play.world) == []


def test_late_labels_that_speak_against_the_new_champion_switch_back(tmp_path: Path) -> None:
    """Operationally sound, worse on labels: the former champion, still warm, serves again."""
    play = Play.begin(tmp_path, rollout={"probation": "6d"})
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
